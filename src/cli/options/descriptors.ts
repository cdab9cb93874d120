/** -add-fd: descriptors that the caller opened, for devices that open /dev/fdset/ID. */
import type { LaunchOptions } from "../../launch/options.ts";
import { checkProperties, type ParsedOptions, typedText } from "./parsed-options.ts";
import { integer, rule, text } from "./values.ts";

const MAX_FD = 2 ** 31 - 1;

/** -add-fd */
export const ADD_FD = {
  name: "add-fd",
  argument: "fd=FD,set=ID[,opaque=TEXT]",
  help: "an inherited file descriptor, which a device opens as /dev/fdset/ID",
  repeats: "append",
  properties: {
    fd: {
      schema: () =>
        integer(0, MAX_FD, "a number").check(
          rule<number>((fd) => fd > 2, "fd cannot be a standard I/O stream"),
        ),
      required: true,
      help: "the number of the descriptor",
    },
    set: {
      schema: () => integer(0, MAX_FD, "a number"),
      help: "the number of the set",
      default: "the first free one",
    },
    opaque: { schema: text, help: "text that QMP's query-fdsets repeats" },
  },
  syntax: { shortBooleans: true },
  group: { name: "add-fd" },
} as const;

/** Reads every -add-fd. Throws UserError. */
export function descriptorOptions(parsed: ParsedOptions): Pick<LaunchOptions, "addedFds"> {
  const addedFds = parsed.of(ADD_FD).map((option) => {
    const { fd, set, opaque } = checkProperties(ADD_FD, ADD_FD.properties, [option]);
    return { fd, set, opaque, typed: typedText(option) };
  });
  return { addedFds };
}
