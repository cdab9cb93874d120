/** How a launch ended: the exit status and its message. */
import type { ExitEvidence } from "../devices/device.ts";

/** Exit statuses. A signal does not give 128 + n, because it is a request to stop and not an error. */
export const EXIT = {
  /** Stopped on request, or an orderly power-off seen on the console. */
  stopped: 0,
  /** Could not be launched; usage errors included. */
  notLaunched: 1,
  /** The enclave exited before its heartbeat, or was stopped because a required heartbeat did not come. */
  noHeartbeat: 3,
  /** The enclave crashed, according to its console. */
  crashed: 4,
  /** The enclave exited by itself; the cause is unknown. */
  exited: 5,
} as const;

/** What is known about an enclave that exited without a request. */
export interface EnclaveExit extends ExitEvidence {
  readonly debugMode: boolean;
  /** Milliseconds from the start to the exit. */
  readonly elapsedMs: number;
  /** The kernel's command line. */
  readonly commandLine: string;
}

/** The exit status and the message for it. */
export interface ExitReport {
  readonly status: number;
  readonly message: string;
}

/** What the kernel and AWS's init print last (kernel/reboot.c, kernel/panic.c, aws-nitro-enclaves-sdk-bootstrap). */
const POWER_OFF = /reboot: (Power down|System halted)/;
const CRASHES = [
  /Kernel panic - not syncing: ?([^\r\n]*)/,
  /child exited with error ?([^\r\n]*)/,
  /child exited by signal ?([^\r\n]*)/,
];
const MAX_QUOTE = 120;

/** Returns the exit status and the message for an enclave that exited without a request. */
export function describeExit(exit: EnclaveExit): ExitReport {
  const { consoleTail = "", heartbeat } = exit;
  const crash = CRASHES.map((pattern) => pattern.exec(consoleTail)?.[0]).find((text) => text !== undefined);
  const quote = crash === undefined ? "" : `; its console says: ${printableAscii(crash)}`;
  const elapsed = elapsedText(exit.elapsedMs);
  if (heartbeat === "missed") {
    return {
      status: EXIT.noHeartbeat,
      message: `was stopped ${elapsed} after start, without a heartbeat${quote}`,
    };
  }
  if (crash === undefined && POWER_OFF.test(consoleTail)) {
    return { status: EXIT.stopped, message: `powered off after ${elapsed}` };
  }
  if (heartbeat === "awaited") {
    const message = `exited ${elapsed} after start, without a heartbeat${quote}${emptyConsoleText(exit)}`;
    return { status: EXIT.noHeartbeat, message };
  }
  if (crash !== undefined) return { status: EXIT.crashed, message: `crashed after ${elapsed}${quote}` };
  return {
    status: EXIT.exited,
    message: `exited after ${elapsed}; cause unknown: ${unknownCauseText(exit)}`,
  };
}

/** Why the console may be empty, in debug mode only: in production mode there is none. */
function emptyConsoleText({ consoleTail, commandLine }: EnclaveExit): string {
  if (consoleTail !== "") return "";
  const hasConsole = /(^|\s)console=/.test(commandLine);
  return `; the console stayed empty${hasConsole ? "" : "; the command line has no console=ttyS0"}`;
}

function unknownCauseText({ debugMode, consoleTail }: EnclaveExit): string {
  if (!debugMode) {
    return (
      "production mode has no console; hint: reproduce it with test data and debug-mode=on " +
      "(its PCRs are zero)"
    );
  }
  return consoleTail === undefined
    ? "its console was not connected"
    : "its console shows neither a panic nor a power-off";
}

const UNITS = [
  { ms: 86_400_000, name: "days" },
  { ms: 3_600_000, name: "h" },
  { ms: 60_000, name: "min" },
] as const;

/** A duration such as `40 ms`, `2.4 s`, `15 s`, `3 min`. From 2 min on: the largest unit of which at least two fit. */
function elapsedText(ms: number): string {
  const unit = UNITS.find((each) => ms >= 2 * each.ms);
  if (unit !== undefined) return `${Math.floor(ms / unit.ms)} ${unit.name}`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${Math.round(ms / 100) / 10} s` : `${Math.round(ms / 1000)} s`;
}

/** The enclave's text is not trusted: no control characters, at most 120 characters. */
function printableAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_QUOTE);
}
