/** Signals as readable data: a handler writes their numbers to a pipe that the run loop polls. */
import { UserError } from "./errors.ts";
import { Fd, readSome } from "./files.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./linux/fcntl.ts";
import { SA_RESTART, SIG_IGN, SIGNALS, sigaction } from "./linux/signal.ts";
import { checked, type System } from "./system.ts";
import { mapCode, signalHandler } from "./threads/routines.ts";
import { hex } from "./trace.ts";

/** Signals that stop the launcher. */
export type StopSignal = "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGTERM";
const STOP_SIGNALS: readonly StopSignal[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"];
/**
 * Those that stay ignored if the process was started so: nohup(1) ignores SIGHUP, and a shell without job control
 * SIGINT and SIGQUIT in what it starts with `&` (POSIX, Shell Command Language, 2.12).
 */
const INHERITED: readonly StopSignal[] = ["SIGHUP", "SIGINT", "SIGQUIT"];

/** Signals that arrived since the handlers were installed. */
export interface Signals extends Disposable {
  readonly fd: number;
  /** Returns the next signal, or undefined. */
  next(): StopSignal | undefined;
  /** From here on `next` calls `act` for SIGHUP and does not return it. */
  onHangup(act: () => void): void;
  /** Also catches SIGCONT: `next` calls `act` when the process continues after it was stopped. */
  onContinue(act: () => void): void;
}

/**
 * Installs handlers for the stop signals and ignores SIGPIPE and SIGXFSZ, so that a lost reader is EPIPE and a file
 * size limit is EFBIG. SIGHUP, SIGINT and SIGQUIT that are ignored stay so. Disposal closes the read end; the handlers
 * remain until the process ends. Throws SyscallError.
 */
export function catchSignals(system: System): Signals {
  const { reading, writing } = openPipe(system);
  const handler = mapCode(system, signalHandler(writing));
  const handled = actionOf(handler, SA_RESTART);
  for (const name of STOP_SIGNALS) {
    if (!INHERITED.includes(name) || !isIgnored(system, name)) setAction(system, name, handled);
  }
  const ignored = actionOf(SIG_IGN, 0);
  setAction(system, "SIGPIPE", ignored);
  setAction(system, "SIGXFSZ", ignored);
  const one = new Uint8Array(1);
  let continued: (() => void) | undefined;
  let hungUp: (() => void) | undefined;
  return {
    fd: reading.number,
    onHangup(act) {
      hungUp = act;
    },
    onContinue(act) {
      if (continued === undefined) setAction(system, "SIGCONT", handled);
      continued = act;
    },
    next() {
      while (readSome(system, reading.number, one) === 1) {
        const name = STOP_SIGNALS.find((candidate) => SIGNALS[candidate] === one[0]);
        if (one[0] === SIGNALS.SIGCONT) continued?.();
        else if (name === "SIGHUP" && hungUp !== undefined) hungUp();
        else if (name !== undefined) return name;
        else throw new UserError("signals", `unexpected signal ${one[0]}`);
      }
      return undefined;
    },
    [Symbol.dispose]() {
      reading.close();
    },
  };
}

function openPipe(system: System): { reading: Fd; writing: number } {
  const ends = new Uint8Array(8);
  const view = new DataView(ends.buffer);
  const result = system.libc.pipe2(ends, O_NONBLOCK | O_CLOEXEC);
  const [reading, writing] = [view.getInt32(0, true), view.getInt32(4, true)];
  checked(system, "pipe2", result, { args: () => `[${reading}, ${writing}], O_NONBLOCK|O_CLOEXEC` });
  return { reading: new Fd(system, reading), writing };
}

interface Action {
  /** A struct sigaction. */
  readonly bytes: Uint8Array;
  /** The value for the trace. */
  readonly text: string;
}

function actionOf(handler: number, flags: number): Action {
  const bytes = sigaction.encode({
    sa_handler: BigInt(handler),
    sa_mask: new Array<bigint>(16).fill(0n),
    sa_flags: flags,
    padding: 0,
    sa_restorer: 0n,
  });
  const what = handler === SIG_IGN ? "SIG_IGN" : hex(handler);
  return { bytes, text: `{${what}, ${flags === 0 ? "0" : "SA_RESTART"}}` };
}

function isIgnored(system: System, name: keyof typeof SIGNALS): boolean {
  const bytes = new Uint8Array(sigaction.size);
  const asked = system.libc.sigaction(SIGNALS[name], null, bytes);
  const handler = () => new DataView(bytes.buffer).getBigUint64(sigaction.offsets.sa_handler, true);
  checked(system, "sigaction", asked, { args: () => `${name}, NULL, {${hex(handler())}}` });
  return handler() === BigInt(SIG_IGN);
}

function setAction(system: System, name: keyof typeof SIGNALS, { bytes, text }: Action): void {
  const set = system.libc.sigaction(SIGNALS[name], bytes, null);
  checked(system, "sigaction", set, { args: () => `${name}, ${text}, NULL` });
}
