import { describe, expect, test } from "bun:test";
import { vsockListenerInode } from "../../../src/sys/socket/vsock-diag.ts";
import { fakeLibc } from "./fake-libc.ts";

/** A netlink message: its length, type, and a body of bytes. */
function message(type: number, body: Uint8Array): number[] {
  const bytes = new Uint8Array(16 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  bytes.set(body, 16);
  return [...bytes];
}

/** struct vsock_diag_msg of a listener (include/uapi/linux/vm_sockets_diag.h). */
function listener(port: number, inode: number): number[] {
  const body = new Uint8Array(32);
  const view = new DataView(body.buffer);
  body.set([40, 1, 10, 0]);
  view.setUint32(4, 0xffffffff, true);
  view.setUint32(8, port, true);
  view.setUint32(20, inode, true);
  return message(20, body);
}

const DONE = message(3, new Uint8Array(4));

/** A kernel that answers a dump with these replies, one per read. */
function kernel(...replies: number[][]) {
  const closed: unknown[] = [];
  const system = fakeLibc({
    socket: (family, _type, protocol) => (family === 16 && protocol === 4 ? 900 : -1),
    send: (_fd, _address, length) => Number(length),
    read: (_fd, into) => {
      const reply = replies.shift();
      if (reply === undefined) return -1;
      (into as Uint8Array).set(reply);
      return reply.length;
    },
    close: (fd) => closed.push(fd) && 0,
    errno: () => 11,
  });
  return { system, closed };
}

describe("the listener of a vsock port", () => {
  test("vsock listener: is found by its port, in any reply of the dump", () => {
    const { system, closed } = kernel(
      [...listener(1024, 5), ...listener(2, 6)],
      [...listener(9000, 812), ...DONE],
    );
    expect(vsockListenerInode(system, 9000)).toBe(812);
    expect(closed).toEqual([900]);
  });

  test.each([
    ["no socket has the port", [[...listener(1024, 5), ...DONE]]],
    ["the kernel has no vsock_diag", [message(2, new Uint8Array(20))]],
    ["the dump ends without NLMSG_DONE", [listener(1024, 5)]],
    ["a message is shorter than its header", [[0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]],
  ])("vsock listener: is unknown if %s", (_name, replies) => {
    const { system, closed } = kernel(...replies);
    expect(vsockListenerInode(system, 9000)).toBeUndefined();
    expect(closed).toEqual([900]);
  });
});
