/**
 * A fake vsock: libc's socket calls are answered from queues and recorded. Descriptors count from 100; an empty queue
 * answers EAGAIN.
 */
import type { System } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

const EAGAIN = 11;

export class FakeVsock {
  readonly calls: string[] = [];
  /** CIDs of the peers to accept; a negative number is an errno. */
  readonly incoming: number[] = [];
  /** By descriptor: what read returns, bytes or a negative errno; an empty array is the end of the stream. */
  readonly readable = new Map<number, (number[] | number)[]>();
  /** What connect returns: 0 or a negative errno; -115 (EINPROGRESS) once the queue is empty. */
  readonly connects: number[] = [];
  /** The values of SO_ERROR, one per call. */
  readonly socketErrors: number[] = [];
  /** What bind returns: 0 or a negative errno. */
  readonly binds: number[] = [];
  /** The backlogs of listen, in order. */
  readonly backlogs: number[] = [];
  /** Bytes sent, by descriptor. */
  readonly sent = new Map<number, number>();
  sendResult = 1;
  readonly system: System;
  #errno = 0;
  #next = 100;

  constructor() {
    this.system = fakeLibc({
      socket: () => this.#note("socket", this.#next++),
      bind: () => this.#note("bind", this.binds.shift() ?? 0),
      listen: (_fd, backlog) => {
        this.backlogs.push(Number(backlog));
        return this.#note("listen", 0);
      },
      accept4: (_listener, address) => this.#accept(address as Uint8Array | null),
      connect: () => this.#note("connect", this.connects.shift() ?? -115),
      getsockopt: (_fd, _level, _name, value) => {
        new DataView((value as Uint8Array).buffer).setInt32(0, this.socketErrors.shift() ?? 0, true);
        return 0;
      },
      poll: (table, count, timeout) => this.#poll(table as Uint8Array, Number(count), Number(timeout)),
      read: (fd, into) => this.#read(Number(fd), into as Uint8Array),
      send: (fd) => {
        this.sent.set(Number(fd), (this.sent.get(Number(fd)) ?? 0) + 1);
        return this.#result(this.sendResult);
      },
      close: (fd) => this.#note(`close ${fd}`, 0),
      errno: () => this.#errno,
    });
  }

  #result(result: number): number {
    this.#errno = result < 0 ? -result : 0;
    return result < 0 ? -1 : result;
  }

  #note(call: string, result: number): number {
    this.calls.push(call);
    return this.#result(result);
  }

  #accept(address: Uint8Array | null): number {
    const cid = this.incoming.shift();
    if (cid === undefined) return this.#result(-EAGAIN);
    if (cid < 0) return this.#result(cid);
    if (address !== null) {
      const view = new DataView(address.buffer);
      view.setUint16(0, 40, true);
      view.setUint32(4, 1024, true);
      view.setUint32(8, cid, true);
    }
    return this.#note(`accept ${cid}`, this.#next++);
  }

  /** struct pollfd {int fd; short events, revents}. A descriptor without a queue is the listener. */
  #poll(table: Uint8Array, count: number, timeout: number): number {
    const view = new DataView(table.buffer);
    let ready = 0;
    for (let at = 0; at < 8 * count; at += 8) {
      const says = this.readable.get(view.getInt32(at, true)) ?? this.incoming;
      view.setInt16(at + 6, says.length > 0 ? 1 : 0, true);
      if (says.length > 0) ready += 1;
    }
    if (ready === 0 && timeout < 0) throw new Error("poll would wait for ever");
    if (ready === 0) Bun.sleepSync(timeout);
    return ready;
  }

  #read(fd: number, into: Uint8Array): number {
    const next = this.readable.get(fd)?.shift();
    if (next === undefined) return this.#result(-EAGAIN);
    if (typeof next === "number") return this.#result(next);
    into.set(next.slice(0, into.length));
    if (next.length > into.length) this.readable.get(fd)?.unshift(next.slice(into.length));
    return this.#result(Math.min(next.length, into.length));
  }

  /** Whether a descriptor has been closed. */
  closed(fd: number): boolean {
    return this.calls.includes(`close ${fd}`);
  }
}
