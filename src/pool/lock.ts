/**
 * Serializes `nitro pool`: a second instance would read what the first is about to change, and restore it. The lock is
 * flock(2) on an empty file that only root may open: the kernel releases it with its holder, and no other user can hold
 * it. The file stays until the next boot.
 */
import { SyscallError, UserError } from "../sys/errors.ts";
import { type Fd, openFile } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { LOCK_EX, LOCK_NB, O_CREAT, O_WRONLY } from "../sys/linux/fcntl.ts";
import { isReadable, nowMs } from "../sys/poll.ts";
import type { Signals } from "../sys/signals.ts";
import { checked, type System } from "../sys/system.ts";

const POOL_LOCK = "/run/nitro-pool.lock";
const RETRY_MS = 50;
const REPORT_AFTER_MS = 1_000;
/** Taking many CPUs offline and compacting much memory take minutes. */
const TIMEOUT_MS = 300_000;

/**
 * Acquires the lock, waiting if another process holds it; disposing of the result releases it. If the file cannot be
 * opened (no /run, not root), there is no lock: the writes that follow fail with the kernel's reason. Throws UserError
 * on a signal and after the timeout.
 */
export function lockPool(system: System, report: (line: string) => void, signals: Signals): Disposable {
  using stack = new DisposableStack();
  const file = openLock(system);
  if (file === undefined) return stack.move();
  stack.use(file);
  const startedMs = nowMs();
  for (let reported = false; !tryLock(system, file); ) {
    const waitedMs = nowMs() - startedMs;
    if (waitedMs >= TIMEOUT_MS) {
      throw new UserError(
        POOL_LOCK,
        `another nitro pool has held the lock for ${TIMEOUT_MS / 1000} s`,
        `find the process: fuser -v ${POOL_LOCK}`,
      );
    }
    if (!reported && waitedMs >= REPORT_AFTER_MS) {
      reported = true;
      report(`another nitro pool is running; waiting for it, up to ${TIMEOUT_MS / 1000} s`);
    }
    if (isReadable(system, signals.fd, RETRY_MS)) {
      throw new UserError("pool", `stopped by ${signals.next()} while waiting for another nitro pool`);
    }
  }
  return stack.move();
}

function openLock(system: System): Fd | undefined {
  try {
    return openFile(system, POOL_LOCK, O_WRONLY | O_CREAT, 0o600);
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}

function tryLock(system: System, file: Fd): boolean {
  const locked = system.libc.flock(file.number, LOCK_EX | LOCK_NB);
  try {
    checked(system, "flock", locked, { args: () => `${file.number}, LOCK_EX|LOCK_NB`, subject: POOL_LOCK });
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.errno === ERRNO.EAGAIN) return false;
    throw error;
  }
}
