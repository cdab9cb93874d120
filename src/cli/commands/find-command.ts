/** Finds the command that a command line names. */
import { UserError } from "../../sys/errors.ts";
import { isGroup, type Subcommand, type SubcommandGroup } from "./subcommand.ts";
import { unknownCommand } from "./unknown-command.ts";

/** A command, with the arguments after its name. */
export interface FoundCommand {
  readonly command: Subcommand | SubcommandGroup;
  readonly rest: readonly string[];
}

const HELP_OPTIONS = ["-help", "--help", "-h", "--h"];

/** Finds the command that the first arguments name; a group where its help is asked for. Throws UserError. */
export async function findCommand(group: SubcommandGroup, args: readonly string[]): Promise<FoundCommand> {
  const [name, ...rest] = args;
  const { subCommands } = group;
  if (name === undefined || HELP_OPTIONS.includes(name)) return { command: group, rest };
  const parent = group.meta.name;
  if (name.startsWith("-")) {
    const why = `a command comes first: nitro ${parent} COMMAND`;
    throw new UserError(name, why, `nitro ${parent} -help lists the commands`);
  }
  const load = Object.hasOwn(subCommands, name) ? subCommands[name] : undefined;
  if (load === undefined) throw unknownCommand(name, parent, Object.keys(subCommands));
  const command = await load();
  return isGroup(command) ? findCommand(command, rest) : { command, rest };
}
