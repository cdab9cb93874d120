/**
 * -daemonize. The driver refuses an enclave's ioctls from a process other than the one that created it, and the runtime
 * has threads, so fork(2) will not do: before it has asked for anything, the program starts itself anew and waits for
 * one byte on a pipe, which comes when the enclave has started. Until then the daemon writes to the caller's own
 * standard output and error, so nothing that it says is lost.
 */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { openFile, readSome, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { O_RDWR } from "../../sys/linux/fcntl.ts";
import { POLLIN } from "../../sys/linux/poll.ts";
import { runLoop, waiter } from "../../sys/poll.ts";
import {
  inheritedPipe,
  isPipe,
  newSession,
  replaceFd,
  setCloseOnExec,
  setProcessName,
  setUmask,
  signalChild,
  spawnSelf,
  waitForExit,
} from "../../sys/process.ts";
import { catchSignals } from "../../sys/signals.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import { EXIT } from "../exit-status.ts";
import { HANDED_OVER } from "../options.ts";

/** What QEMU's daemon sets (os_daemonize): its files are not for others. */
const FILE_MASK = 0o027;

/** Starts the daemon and waits until its enclave has started. Gives 0 then, else the status that it ended with. */
export function launchInBackground(
  system: System,
  words: readonly string[],
  report: (line: string) => void,
): number {
  using signals = catchSignals(system);
  const { reading, writing } = inheritedPipe(system);
  using pipe = reading;
  let pid: number;
  try {
    pid = spawnSelf(system, [process.argv0, `${HANDED_OVER}${writing.number}`, ...words]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(
      "-daemonize",
      `the program cannot be started anew (${error.message})`,
      "is /proc mounted?",
    );
  } finally {
    writing.close();
  }
  const byte = new Uint8Array(1);
  let heard: number | undefined;
  const listen = () => {
    const got = readSome(system, pipe.number, byte);
    if (!wouldBlock(got)) heard = got;
  };
  const pass = () => {
    const signal = signals.next();
    if (signal !== undefined) signalChild(system, pid, signal);
  };
  const waiters = [waiter(() => pipe.number, POLLIN, listen), waiter(() => signals.fd, POLLIN, pass)];
  runLoop(
    system,
    () => waiters,
    () => heard !== undefined,
  );
  if (heard === 1) return EXIT.stopped;
  const status = waitForExit(system, pid);
  if (status < 0) report(`-daemonize: signal ${-status} ended the launcher before the enclave was started`);
  return status > 0 ? status : EXIT.notLaunched;
}

/** How a daemon tells that the enclave has started. */
export interface DaemonStatus {
  /** Lets go of the caller's standard streams, then has the caller's command return. Throws UserError. */
  started(): void;
}

/**
 * What a process does first that was started to be the daemon.
 * @param word names the descriptor of the pipe. Throws UserError where it is none.
 */
export function becomeDaemon(system: System, word: string, logFd: () => number | undefined): DaemonStatus {
  const fd = Number(word.slice(HANDED_OVER.length) || Number.NaN);
  if (!Number.isInteger(fd) || fd <= 2 || !isPipe(system, fd)) throw new UserError(word, "invalid option");
  setCloseOnExec(system, fd);
  newSession(system);
  // It was started as /proc/self/exe, and would be called `exe`.
  setProcessName(system, process.argv0.slice(process.argv0.lastIndexOf("/") + 1));
  setUmask(system, FILE_MASK);
  // Opened now: the root may be another one later.
  const nothing = openFile(system, "/dev/null", O_RDWR);
  return {
    started() {
      replaceFd(system, nothing.number, 0);
      replaceFd(system, nothing.number, 1);
      replaceFd(system, logFd() ?? nothing.number, 2);
      nothing.close();
      const one = new Uint8Array(1);
      const told = writeSome(system, fd, addressOf(one), 1);
      system.libc.close(fd);
      if (told !== 1) throw new UserError("-daemonize", "the command that waited for the start is gone");
    },
  };
}
