/**
 * The run loop's poll(2): one thread, raw descriptors. It sleeps until a descriptor is ready or the next deadline has
 * passed; there are no periodic timers, and a turn allocates nothing.
 */

import { SyscallError } from "./errors.ts";
import { ERRNO } from "./linux/errno.ts";
import { POLLFD_SIZE, POLLIN, POLLOUT } from "./linux/poll.ts";
import { resultOrErrno, type System } from "./system.ts";

/** Waits for events on a descriptor, for a deadline, or for both. */
export interface Waiter {
  /** The descriptor, or -1 for none. */
  readonly fd: number;
  /** Requested poll events; POLLHUP and POLLERR are always reported. */
  readonly events: number;
  /** The deadline on the clock of nowMs; Infinity for none. */
  readonly deadlineMs: number;
  /** Called with the events that poll(2) reported. */
  ready(revents: number): void;
  /** Called when the deadline has passed. */
  expired(): void;
}

/** Returns the milliseconds of a monotonic clock. */
export function nowMs(): number {
  return Bun.nanoseconds() / 1e6;
}

/** Creates a waiter whose descriptor is read at each turn; without a deadline unless one is given. */
export function waiter(
  fd: () => number,
  events: number,
  ready: () => void,
  timed?: { readonly deadlineMs: () => number; readonly expired: () => void },
): Waiter {
  return {
    get fd() {
      return fd();
    },
    events,
    get deadlineMs() {
      return timed?.deadlineMs() ?? Number.POSITIVE_INFINITY;
    },
    ready,
    expired: () => timed?.expired(),
  };
}

/** Whether a descriptor is readable, at once or within `waitMs`. */
export function isReadable(system: System, fd: number, waitMs = 0): boolean {
  return isReady(system, fd, POLLIN, waitMs);
}

/** Whether a descriptor is writable or broken, without waiting. */
export function isWritable(system: System, fd: number): boolean {
  return isReady(system, fd, POLLOUT, 0);
}

function isReady(system: System, fd: number, events: number, waitMs: number): boolean {
  const bytes = new Uint8Array(POLLFD_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, events, true);
  const ready = system.libc.poll(bytes, 1, waitMs);
  return resultOrErrno(system, "poll", ready, () => `[{${fd}, 0x${events.toString(16)}}], 1, ${waitMs}`) > 0;
}

/** How long the loop waits for memory or descriptors when a call has failed for want of them. */
const SHORTAGE_PAUSE_MS = 10;

/** Runs the loop until `done` returns true. Waiters may change descriptor, events and deadline between turns. */
export function runLoop(system: System, waiters: () => readonly Waiter[], done: () => boolean): void {
  let table = new DataView(new ArrayBuffer(8 * POLLFD_SIZE));
  let bytes = new Uint8Array(table.buffer);
  while (!done()) {
    const now = waiters();
    if (now.length * POLLFD_SIZE > bytes.length) {
      table = new DataView(new ArrayBuffer(2 * now.length * POLLFD_SIZE));
      bytes = new Uint8Array(table.buffer);
    }
    // What could not be done remains ready: the loop would not rest.
    if (system.isShort) Bun.sleepSync(SHORTAGE_PAUSE_MS);
    system.isShort = false;
    const ready = turn(system, now, table, bytes);
    serve(now, ready > 0 ? table : undefined, done);
  }
}

function turn(system: System, waiters: readonly Waiter[], table: DataView, bytes: Uint8Array): number {
  let deadline = Number.POSITIVE_INFINITY;
  for (let i = 0; i < waiters.length; i++) {
    const waiter = waiters[i];
    if (waiter === undefined) continue;
    table.setInt32(i * POLLFD_SIZE, waiter.fd, true);
    table.setInt16(i * POLLFD_SIZE + 4, waiter.events, true);
    table.setInt16(i * POLLFD_SIZE + 6, 0, true);
    if (waiter.deadlineMs < deadline) deadline = waiter.deadlineMs;
  }
  const timeout = deadline === Number.POSITIVE_INFINITY ? -1 : timeoutUntil(deadline);
  const returned = system.libc.poll(bytes, waiters.length, timeout);
  const args = () => `${pollArgs(waiters)}, ${waiters.length}, ${timeout}`;
  const ready = resultOrErrno(system, "poll", returned, args);
  if (ready >= 0 || ready === -ERRNO.EINTR) return ready;
  if (RETRIED.includes(-ready)) return pollEach(system, bytes, waiters.length);
  throw new SyscallError("poll", -ready, "");
}

/**
 * The kernel is short of memory, or the limit of open files has become less than the number of descriptors (EINVAL).
 */
const RETRIED: readonly number[] = [ERRNO.ENOMEM, ERRNO.EAGAIN, ERRNO.EINVAL];

/** Polls the descriptors one by one, without waiting: the next turn begins after a pause. */
function pollEach(system: System, bytes: Uint8Array, count: number): number {
  let ready = 0;
  for (let at = 0; at < count * POLLFD_SIZE; at += POLLFD_SIZE) {
    const one = bytes.subarray(at, at + POLLFD_SIZE);
    const poll = () => resultOrErrno(system, "poll", system.libc.poll(one, 1, 0), () => "one of them, 1, 0");
    const first = poll();
    if ((first < 0 ? poll() : first) > 0) ready += 1;
  }
  system.isShort = true;
  return ready;
}

/** Milliseconds for poll(2), rounded up so that the deadline has passed when poll returns. */
function timeoutUntil(deadlineMs: number): number {
  return Math.min(Math.max(Math.ceil(deadlineMs - nowMs()), 0), 0x7fffffff);
}

function serve(waiters: readonly Waiter[], table: DataView | undefined, done: () => boolean): void {
  for (let i = 0; i < waiters.length && !done(); i++) {
    const waiter = waiters[i];
    if (waiter === undefined) continue;
    const revents = table === undefined ? 0 : table.getInt16(i * POLLFD_SIZE + 6, true);
    if (revents !== 0) waiter.ready(revents);
    else if (waiter.deadlineMs !== Number.POSITIVE_INFINITY && waiter.deadlineMs <= nowMs()) waiter.expired();
  }
}

function pollArgs(waiters: readonly Waiter[]): string {
  const watched = waiters.filter((waiter) => waiter.fd >= 0);
  return `[${watched.map((waiter) => `{${waiter.fd}, 0x${waiter.events.toString(16)}}`).join(", ")}]`;
}
