/** What the commands of `nitro eif` share: their context, and the arguments that most of them have. */
import type { EifContext } from "../../eif/progress.ts";
import { UserError } from "../../sys/errors.ts";
import { STDERR } from "../../sys/files.ts";
import { isTerminal } from "../../sys/terminal.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import type { SubcommandContext } from "./subcommand.ts";

/** Returns the context of an operation on images: progress is drawn if standard error is a terminal. */
export function eifContext({ system, report, toStderr }: SubcommandContext): EifContext {
  return { system, report, draw: isTerminal(system, STDERR) ? toStderr : undefined };
}

/** The image, as the argument of a command. */
export const IMAGE_ARG = {
  type: "positional",
  required: false,
  valueHint: "IMAGE",
  description: "the EIF",
} as const;

/** -json, of every command. */
export const JSON_ARG = { type: "boolean", description: "print JSON" } as const;

/** Returns the image that is given. Throws UserError. @param command as it is typed: `eif describe`. */
export function imageOperand({ operands }: SubcommandArgs, command: string): string {
  const [image] = operands;
  if (image === undefined) throw new UserError(command, "no image given", `nitro ${command} app.eif`);
  return image;
}
