/**
 * One `nitro pool` at a time: a second one would read what the first is about to change, and put it back. The lock is
 * the kernel's (flock(2)) on a file that only root may open, so it ends with its holder, however that comes about, and
 * nobody else can keep it. The file itself is empty and stays until the next boot.
 */
import { SyscallError, UserError } from "../sys/errors.ts";
import { type Fd, openFile } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { LOCK_EX, LOCK_NB, O_CREAT, O_WRONLY } from "../sys/linux/fcntl.ts";
import { isReadable, nowMs } from "../sys/poll.ts";
import type { Signals } from "../sys/signals.ts";
import { checked, type System } from "../sys/system.ts";

const POOL_LOCK = "/run/nitro-pool.lock";
const TRY_EVERY_MS = 50;
const TELL_AFTER_MS = 1_000;
/** Offlining many CPUs and compacting much memory take their time. */
const PATIENCE_MS = 300_000;

/**
 * Takes the lock, or waits for it; disposing of it gives it back. Where it cannot be had at all (no /run, not root)
 * there is none: the kernel says what may not be done. Throws UserError when a signal comes, or patience has run out.
 */
export function lockPool(system: System, report: (line: string) => void, signals: Signals): Disposable {
  using stack = new DisposableStack();
  const file = openLock(system);
  if (file === undefined) return stack.move();
  stack.use(file);
  const beganMs = nowMs();
  for (let told = false; !tryLock(system, file); ) {
    const waitedMs = nowMs() - beganMs;
    if (waitedMs >= PATIENCE_MS) {
      throw new UserError(
        POOL_LOCK,
        `another nitro pool has held it for ${PATIENCE_MS / 1000} s`,
        `see what it does: fuser -v ${POOL_LOCK}`,
      );
    }
    if (!told && waitedMs >= TELL_AFTER_MS) {
      told = true;
      report("another nitro pool is at work; waiting for its end");
    }
    if (isReadable(system, signals.fd, TRY_EVERY_MS)) {
      throw new UserError("pool", `stopped by ${signals.next()} while it waited for another nitro pool`);
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
    checked(system, "flock", locked, () => `${file.number}, LOCK_EX|LOCK_NB`, POOL_LOCK);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.errno === ERRNO.EAGAIN) return false;
    throw error;
  }
}
