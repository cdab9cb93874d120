/** A trace like strace(1), requested with -d: `call(arguments) = result`. Without it the field is undefined. */
import { errnoName } from "./errors.ts";
import { escapeControl } from "./escape-control.ts";

/** Items of -d, in a list as with QEMU's -d. */
export const TRACE_FLAGS = {
  syscalls: "the system calls that nitro makes, with arguments and results",
  vsock: "events on vsock: connections, heartbeats, bytes of the console",
} as const;

/** An item of -d. */
export type TraceFlag = keyof typeof TRACE_FLAGS;

/** Receivers of trace events. */
export interface Trace {
  /** A call has returned; `errno` is set if it failed. */
  call?(name: string, args: string, result: number, errno?: number): void;
  /** A vsock event, as text. */
  vsock?(event: string): void;
}

/** Creates a trace of the selected items; `write` gets lines without a newline. */
export function createTrace(flags: ReadonlySet<TraceFlag>, write: (line: string) => void): Trace {
  const trace: Trace = {};
  if (flags.has("syscalls")) {
    trace.call = (name, args, result, errno) => {
      write(`${name}(${args}) = ${errno === undefined ? resultText(result) : `-1 ${errnoName(errno)}`}`);
    };
  }
  if (flags.has("vsock")) trace.vsock = (event) => write(`vsock: ${event}`);
  return trace;
}

/** Addresses are hexadecimal, as in strace. */
function resultText(result: number): string {
  return result > 0xffffffff ? hex(result) : String(result);
}

/** Returns `0x` and hexadecimal digits. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** Quotes a string as in C, cut at 64 characters, with control characters escaped. */
export function quoted(text: string): string {
  const cut = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return escapeControl(JSON.stringify(cut));
}

/** Returns the names of the bits that are set in `value`, joined by `|`. */
export function flagNames(value: number, names: Readonly<Record<string, number>>): string {
  const set = Object.entries(names).filter(([, bit]) => bit !== 0 && (value & bit) === bit);
  const rest = set.reduce((left, [, bit]) => left & ~bit, value);
  const parts = set.map(([name]) => name);
  if (rest !== 0 || parts.length === 0) parts.push(rest === 0 ? "0" : hex(rest >>> 0));
  return parts.join("|");
}
