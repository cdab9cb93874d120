/** How a launch ended, as an exit status and in words. */

/** Exit statuses, never 128 + n: a signal is a request. */
export const EXIT = {
  /** Stopped on request, or an orderly power-off seen on the console. */
  stopped: 0,
  /** It could not be launched, usage included. */
  notLaunched: 1,
  /** It ended before its heartbeat, or was stopped because it was required and did not come. */
  noHeartbeat: 3,
  /** It crashed, by what the console says. */
  crashed: 4,
  /** It ended by itself, and nothing tells why. */
  ended: 5,
} as const;

/** What is known when an enclave has ended by itself. */
export interface Ending {
  /** The end of its console; "" in production mode. */
  readonly consoleTail: string;
  /** The heartbeat had not come, and its time-out had not passed. */
  readonly heartbeatAwaited: boolean;
  /** It was stopped because its heartbeat, which was required, had not come. */
  readonly stoppedForHeartbeat: boolean;
}

/** The kernel's and AWS's init's own last words (kernel/reboot.c, kernel/panic.c, aws-nitro-enclaves-sdk-bootstrap). */
const POWER_OFF = /reboot: (Power down|System halted)/;
const CRASH = [
  /Kernel panic - not syncing: ?([^\r\n]*)/,
  /child exited with error ?([^\r\n]*)/,
  /child exited by signal ?([^\r\n]*)/,
];

/** The status of an enclave that ended by itself, and the sentence for it. */
export function verdict(ending: Ending): { status: number; sentence: string } {
  const tail = ending.consoleTail;
  const crash = CRASH.map((pattern) => pattern.exec(tail)?.[0]).find((words) => words !== undefined);
  const last = crash === undefined ? "" : `; its console says: ${inAscii(crash)}`;
  if (ending.stoppedForHeartbeat)
    return { status: EXIT.noHeartbeat, sentence: `was stopped without a heartbeat${last}` };
  if (crash === undefined && POWER_OFF.test(tail)) {
    return { status: EXIT.stopped, sentence: "powered off in order" };
  }
  if (ending.heartbeatAwaited)
    return { status: EXIT.noHeartbeat, sentence: `ended before its heartbeat${last}` };
  if (crash !== undefined) return { status: EXIT.crashed, sentence: `crashed${last}` };
  return { status: EXIT.ended, sentence: "ended by itself, and nothing tells why" };
}

/** The enclave's words are not trusted: no control characters, 120 characters at most. */
function inAscii(words: string): string {
  return words.replace(/[^\x20-\x7e]/g, "?").slice(0, 120);
}
