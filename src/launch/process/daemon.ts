/**
 * The daemon of -daemonize. The driver refuses ioctls from a process other than the one that created the enclave, and
 * the runtime has threads, so fork(2) is no option. The program starts itself again instead, before any request to
 * the host, and waits for one byte on a pipe, which the daemon writes when the enclave has started. Until then the
 * daemon writes to the caller's stdout and stderr.
 */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { openFile, readSome, STDERR, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { O_RDWR } from "../../sys/linux/fcntl.ts";
import { POLLIN } from "../../sys/linux/poll.ts";
import { runLoop, waiter } from "../../sys/poll.ts";
import {
  inheritedPipe,
  isPipe,
  keepAcrossExec,
  newSession,
  replaceFd,
  setCloseOnExec,
  setProcessName,
  setUmask,
  signalChild,
  spawnSelf,
  waitForExit,
} from "../../sys/process.ts";
import type { ReopenableFile } from "../../sys/reopenable-files.ts";
import { catchSignals } from "../../sys/signals.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import type { LaunchRequest } from "../context.ts";
import { EXIT } from "../exit-status.ts";
import { HANDED_OVER, type LaunchOptions } from "../options.ts";

/** The umask of QEMU's daemon (os_daemonize). */
const FILE_MASK = 0o027;

/**
 * Starts the daemon and waits until its enclave has started. Returns 0, or the exit status of a daemon that
 * failed. Throws UserError.
 */
export function launchInBackground(system: System, { args, options, report }: LaunchRequest): number {
  using signals = catchSignals(system);
  for (const fd of passedFds(options)) keepAcrossExec(system, fd);
  const { reading, writing } = inheritedPipe(system);
  using pipe = reading;
  let pid: number;
  try {
    pid = spawnSelf(system, [process.argv0, `${HANDED_OVER}${writing.number}`, ...args]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(
      "-daemonize",
      `cannot start the program again (${error.message})`,
      "ls -l /proc/self/exe shows whether /proc is mounted",
    );
  } finally {
    writing.close();
  }
  const byte = new Uint8Array(1);
  let received: number | undefined;
  const receive = () => {
    const got = readSome(system, pipe.number, byte);
    if (!wouldBlock(got)) received = got;
  };
  const forwardSignal = () => {
    const signal = signals.next();
    if (signal !== undefined) signalChild(system, pid, signal);
  };
  const waiters = [
    waiter(() => pipe.number, POLLIN, receive),
    waiter(() => signals.fd, POLLIN, forwardSignal),
  ];
  runLoop(
    system,
    () => waiters,
    () => received !== undefined,
  );
  if (received === 1) return EXIT.stopped;
  const status = waitForExit(system, pid);
  if (status < 0) report(`-daemonize: signal ${-status} killed the daemon before the enclave started`);
  return status > 0 ? status : EXIT.notLaunched;
}

/** The descriptors of the caller that the launch uses: of -add-fd, and of character devices with fd=. */
function passedFds({ addedFds, chardevs }: LaunchOptions): number[] {
  const sockets = chardevs.flatMap(({ backend }) =>
    backend.kind === "socket" && backend.address.kind === "fd" ? [Number(backend.address.fd)] : [],
  );
  return [...addedFds.map(({ fd }) => fd), ...sockets];
}

/** The daemon's side of the pipe. */
export interface DaemonStatus {
  /** Detaches from the caller's standard streams, then lets the caller's command return. Throws UserError. */
  started(): void;
}

/**
 * Turns this process into the daemon. Throws UserError if the argument names no pipe.
 * @param argument names the file descriptor of the pipe. @param traceFile returns that of -D, which replaces stderr.
 */
export function becomeDaemon(
  system: System,
  argument: string,
  traceFile: () => ReopenableFile | undefined,
): DaemonStatus {
  const fd = Number(argument.slice(HANDED_OVER.length) || Number.NaN);
  if (!Number.isInteger(fd) || fd <= 2 || !isPipe(system, fd))
    throw new UserError(argument, "invalid option");
  setCloseOnExec(system, fd);
  newSession(system);
  // Started as /proc/self/exe, the process would be called `exe`.
  setProcessName(system, process.argv0.slice(process.argv0.lastIndexOf("/") + 1));
  setUmask(system, FILE_MASK);
  // Opened now, because the root directory may change.
  const devNull = openFile(system, "/dev/null", O_RDWR);
  return {
    started() {
      replaceFd(system, devNull.number, 0);
      replaceFd(system, devNull.number, 1);
      const trace = traceFile();
      if (trace === undefined) replaceFd(system, devNull.number, STDERR);
      else trace.copyTo(STDERR);
      devNull.close();
      const one = new Uint8Array(1);
      const written = writeSome(system, fd, addressOf(one), 1);
      system.libc.close(fd);
      if (written !== 1)
        throw new UserError("-daemonize", "the command that waits for the start of the enclave has exited");
    },
  };
}
