/** The command line of nitro as plain data, for shell completion and the man page. */
import { nitro } from "../commands/nitro.ts";
import { isGroup, type SubcommandGroup, type SubcommandMeta } from "../commands/subcommand.ts";
import { MANUAL_PAGES } from "../manual-pages.ts";
import { describeOptions, type OptionDescription } from "../options/describe.ts";
import { TARGETS } from "../options/target.ts";
import type { SubcommandArgsDef } from "../subcommand-args.ts";
import { HELP_ARG } from "../subcommand-help.ts";

/** What a shell can complete an argument with. */
export type Completion =
  | { readonly kind: "file" | "directory" | "text" }
  | { readonly kind: "words"; readonly words: readonly string[] };

/** An option of a command. */
export interface CommandOption {
  readonly name: string;
  readonly alias: string | undefined;
  /** The argument as help shows it; undefined for a flag. */
  readonly argument: string | undefined;
  readonly help: string;
  readonly completion: Completion;
  readonly properties: readonly CommandProperty[];
}

/** A property in the argument of an option. */
export type CommandProperty = OptionDescription["properties"][number] & { readonly completion: Completion };

/** A command: `""` is a launch. */
export interface CommandDescription {
  readonly name: string;
  readonly description: string;
  readonly options: readonly CommandOption[];
  /** How its operands are completed. */
  readonly operands: Completion;
  /** undefined for a launch. */
  readonly meta: SubcommandMeta | undefined;
  /** The group that it belongs to; the name of nitro itself is "". */
  readonly group: { readonly name: string; readonly description: string };
}

/** Describes a launch and every subcommand. */
export async function describeCommands(): Promise<CommandDescription[]> {
  const launch = launchOptions();
  const description = "launch an enclave";
  const self = { name: "", description, options: launch, operands: TEXT, meta: undefined, group: nitro.meta };
  return [self, ...(await describeGroup(nitro, launch))];
}

const TEXT: Completion = { kind: "text" };

function launchOptions(): CommandOption[] {
  return describeOptions().map(({ name, alias, argument, help, values, properties }) => ({
    ...{ name, alias, argument, help },
    completion: values.length > 0 ? { kind: "words", words: values } : completionOf(argument),
    properties: properties.map((property) => ({ ...property, completion: completionOf(property.form) })),
  }));
}

async function describeGroup(
  group: SubcommandGroup,
  launch: readonly CommandOption[],
): Promise<CommandDescription[]> {
  const commands = await Promise.all(Object.values(group.subCommands).map((load) => load()));
  const described = commands.map(async (command): Promise<CommandDescription[]> => {
    if (isGroup(command)) return describeGroup(command, launch);
    const { meta, args } = command;
    const own = ownOptions(command.launchOptions ? args : { ...args, help: HELP_ARG });
    const options = command.launchOptions ? [...own, ...launch] : own;
    const operands = operandCompletion(meta.name, args);
    return [{ name: meta.name, description: meta.description, options, operands, meta, group: group.meta }];
  });
  return (await Promise.all(described)).flat();
}

function ownOptions(args: SubcommandArgsDef): CommandOption[] {
  return Object.entries(args).flatMap(([name, { type, alias, valueHint = "VALUE", description = "" }]) => {
    if (type === "positional") return [];
    const argument = type === "boolean" ? undefined : valueHint;
    return [{ name, alias, argument, help: description, completion: completionOf(argument), properties: [] }];
  });
}

function operandCompletion(command: string, args: SubcommandArgsDef): Completion {
  if (command === "help")
    return {
      kind: "words",
      words: [...new Set([...Object.keys(MANUAL_PAGES), ...Object.keys(nitro.subCommands)])],
    };
  const operand = Object.values(args).find(({ type }) => type === "positional");
  return operand === undefined ? TEXT : completionOf(operand.valueHint?.replaceAll(" ", ""));
}

/** Returns how to complete an argument. @param argument its form in help: `FILE`, `on|off`, `nitro[,prop=value...]`. */
function completionOf(argument = ""): Completion {
  if (argument === "TARGET") {
    const words = TARGETS.split(", ").map((target) => /^[a-z:]+/.exec(target)?.[0] ?? "");
    return { kind: "words", words };
  }
  if (/^(FILE|IMAGE|LINK)$/.test(argument)) return { kind: "file" };
  if (/^(DIR|DIRECTORY)$/.test(argument)) return { kind: "directory" };
  const fixed = argument.split(/[[,]/)[0] ?? "";
  return /^[a-z0-9_|-]+$/.test(fixed) ? { kind: "words", words: fixed.split("|") } : TEXT;
}
