/** The targets of -serial, -monitor and -qmp: `stdio`, `file:PATH`, `unix:PATH,server=on`, `chardev:ID`. */
import type { ChardevSpec } from "../../chardev/chardev.ts";
import { UserError } from "../../sys/errors.ts";
import { KeyvalError, type Pair, parseKeyvals } from "../keyval.ts";
import { type BackendName, CHARDEV, chardevSpec } from "./chardev.ts";
import { type ParsedOption, typedText } from "./parsed-options.ts";

/** A device of its own, the id of another, or none. */
export type DeviceTarget =
  | { readonly kind: "device"; readonly device: ChardevSpec; readonly withMonitor: boolean }
  | { readonly kind: "chardev"; readonly label: string }
  | { readonly kind: "none" };

/** How help and messages list the targets. */
export const TARGETS =
  "stdio, mon:stdio, file:PATH, null, none, pty, pipe:PATH, unix:PATH[,server=on][,wait=off], " +
  "tcp:HOST:PORT[,server=on], telnet:HOST:PORT[,server=on], chardev:ID";

/** Reads a target. @param label the label of a device of its own, such as serial0. Throws UserError. */
export function readTarget(parsed: ParsedOption, label: string): DeviceTarget {
  const { value } = parsed;
  if (value === "none") return { kind: "none" };
  if (value.startsWith("chardev:")) return { kind: "chardev", label: value.slice("chardev:".length) };
  const withMonitor = value.startsWith("mon:");
  const [backend, pairs] = backendOf(withMonitor ? value.slice("mon:".length) : value, typedText(parsed));
  const spec = chardevSpec(backend, { ...parsed, pairs }, label);
  // Where a monitor shares the terminal, Ctrl-C is an ordinary key.
  const device: ChardevSpec =
    withMonitor && spec.backend.kind === "stdio"
      ? { ...spec, backend: { kind: "stdio", signal: false } }
      : spec;
  return { kind: "device", device: { ...device, mux: withMonitor || spec.mux }, withMonitor };
}

/** Returns the backend of a target, and its properties in -chardev's terms. Throws UserError. */
function backendOf(target: string, typed: string): [BackendName, readonly Pair[]] {
  const [head, ...more] = target.split(":");
  const rest = more.length === 0 ? undefined : more.join(":");
  if (rest === undefined) {
    if (head === "null" || head === "stdio" || head === "pty" || head === "ringbuf") return [head, []];
  } else {
    switch (head) {
      // As in QEMU, everything after the colon is the path, commas included.
      case "file":
      case "pipe":
      case "pty":
        return [head, [["path", rest]]];
      case "unix":
        return ["socket", socketPairs(rest, "path", typed)];
      case "tcp":
        return ["socket", hostAndPort(rest, typed)];
      case "telnet":
        return ["socket", [...hostAndPort(rest, typed), ["telnet", "on"]]];
    }
  }
  throw new UserError(typed, `'${target}' is not a valid char driver`, `use ${TARGETS}`);
}

function socketPairs(text: string, implied: string, typed: string): readonly Pair[] {
  try {
    return parseKeyvals(text, { ...CHARDEV.syntax, implied }).pairs;
  } catch (error) {
    throw error instanceof KeyvalError ? new UserError(typed, error.message) : error;
  }
}

/** Splits `HOST:PORT,…`; an IPv6 address is written in brackets. Throws UserError. */
function hostAndPort(text: string, typed: string): readonly Pair[] {
  const [[, address] = ["", ""], ...others] = socketPairs(text, "address", typed);
  const [, ipv6, other, port] = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(address) ?? [];
  if (port === undefined) {
    throw new UserError(typed, `'${text}' is not HOST:PORT`, "use tcp:127.0.0.1:4444,server=on,wait=off");
  }
  return [["host", ipv6 ?? other ?? ""], ["port", port], ...others];
}
