/**
 * A trace in the manner of strace, asked for with -d: `call(arguments) = result`, a line each. Off, the field
 * that holds it is undefined, and a call costs one comparison more.
 */
import { errnoName } from "./errors.ts";
import { escapeControl } from "./escape-control.ts";

/** What -d takes, as QEMU's -d does: names in a list. */
export const TRACE_FLAGS = {
  syscalls: "every system call of the launcher's own, with arguments and result",
  vsock: "what happens on vsock: connections, the heartbeat, the console's bytes",
} as const;

/** A name that -d takes. */
export type TraceFlag = keyof typeof TRACE_FLAGS;

/** Where trace lines go. Lines come without their newline. */
export interface Trace {
  /** A call that returned; `errno` is given when it failed. */
  call?(name: string, args: string, result: number, errno?: number): void;
  /** Something that happened on vsock, in words. */
  vsock?(event: string): void;
}

/** Makes a trace of the chosen flags that writes each line with `write`. */
export function traceOf(flags: ReadonlySet<TraceFlag>, write: (line: string) => void): Trace {
  const trace: Trace = {};
  if (flags.has("syscalls")) {
    trace.call = (name, args, result, errno) => {
      write(`${name}(${args}) = ${errno === undefined ? resultText(result) : `-1 ${errnoName(errno)}`}`);
    };
  }
  if (flags.has("vsock")) trace.vsock = (event) => write(`vsock: ${event}`);
  return trace;
}

/** Addresses are told in hexadecimal, as strace does. */
function resultText(result: number): string {
  return result > 0xffffffff ? hex(result) : String(result);
}

/** `0x` and the digits. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** A string as C would spell it, cut at 64 characters; control characters never reach the terminal. */
export function quoted(text: string): string {
  const cut = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return escapeControl(JSON.stringify(cut));
}

/** Flag names joined by `|`, for those bits of `value` that are set. */
export function flagNames(value: number, names: Readonly<Record<string, number>>): string {
  const set = Object.entries(names).filter(([, bit]) => bit !== 0 && (value & bit) === bit);
  const rest = set.reduce((left, [, bit]) => left & ~bit, value);
  const parts = set.map(([name]) => name);
  if (rest !== 0 || parts.length === 0) parts.push(rest === 0 ? "0" : hex(rest >>> 0));
  return parts.join("|");
}
