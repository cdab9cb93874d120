/**
 * An event that wakes every process that watches it: an eventfd that all of them hold and none reads, watched through
 * an edge-triggered epoll of each process (epoll(7), EPOLLET).
 */
import { Fd, writeSome } from "./files.ts";
import { addressOf } from "./libc.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "./linux/eventfd.ts";
import * as epoll from "./linux/eventpoll.ts";
import { checked, resultOrErrno, type System } from "./system.ts";

/** Creates an event, to be passed to other processes. Throws SyscallError. */
export function createBroadcastEvent(system: System): Fd {
  const number = system.libc.sharingCalls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return new Fd(system, checked(system, "eventfd", number, { args: () => "0, EFD_CLOEXEC|EFD_NONBLOCK" }));
}

/** Wakes all watchers. */
export function signalBroadcast(system: System, event: Fd): void {
  const one = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  writeSome(system, event.number, addressOf(one), one.length);
}

/**
 * Returns an epoll descriptor that is readable when the event was signalled since the last acknowledgement. Throws
 * SyscallError.
 */
export function watchBroadcastEvent(system: System, event: Fd): Fd {
  const calls = system.libc.sharingCalls;
  const created = calls.epoll_create1(epoll.EPOLL_CLOEXEC);
  const watch = new Fd(system, checked(system, "epoll_create1", created, { args: () => "EPOLL_CLOEXEC" }));
  const record = new Uint8Array(epoll.EPOLL_EVENT_SIZE);
  new DataView(record.buffer).setUint32(0, (epoll.EPOLLIN | epoll.EPOLLET) >>> 0, true);
  const added = calls.epoll_ctl(watch.number, epoll.EPOLL_CTL_ADD, event.number, record);
  try {
    const args = () => `${watch.number}, EPOLL_CTL_ADD, ${event.number}, EPOLLIN|EPOLLET`;
    checked(system, "epoll_ctl", added, { args });
    return watch;
  } catch (error) {
    watch.close();
    throw error;
  }
}

/** Acknowledges the signals so far. Call it before reading the state that the event announces. */
export function acknowledgeBroadcast(system: System, watch: Fd): void {
  const record = new Uint8Array(epoll.EPOLL_EVENT_SIZE);
  const got = system.libc.sharingCalls.epoll_wait(watch.number, record, 1, 0);
  resultOrErrno(system, "epoll_wait", got, () => `${watch.number}, …, 1, 0`);
}
