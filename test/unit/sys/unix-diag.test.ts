/** Names of abstract sockets by their owner, with the real kernel and with kernels that do not report it. */
import { describe, expect, test } from "bun:test";
import { listenAbstract } from "../../../src/sys/socket/abstract.ts";
import { ownedNames } from "../../../src/sys/socket/unix-diag.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

const system = openSystem();

describe("names of a user's listening sockets", () => {
  test("listening sockets: are found by prefix and user among any number of others", () => {
    const prefix = `nitro-test-${crypto.randomUUID()}`;
    using stack = new DisposableStack();
    for (let i = 0; i < 300; i++) stack.use(listenAbstract(system, `${prefix}-${i}`));
    const own = process.geteuid?.() ?? 0;
    const names = ownedNames(system, `${prefix}-29`, [4242, own]);
    const expected = [29, 290, 291, 292, 293, 294, 295, 296, 297, 298, 299].map((i) => `${prefix}-${i}`);
    expect(names?.sort()).toEqual(expected.sort());
    expect(ownedNames(system, prefix, [own + 1])).toEqual([]);
  });

  /** A kernel that answers with one socket, whose attributes end before the given number of bytes. */
  const kernel = (attributes: number[]) => {
    const reply = new Uint8Array(16 + 16 + attributes.length);
    const view = new DataView(reply.buffer);
    view.setUint32(0, reply.length, true);
    view.setUint16(4, 20, true);
    reply.set(attributes, 32);
    const replies = [reply, Uint8Array.of(16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)];
    return fakeLibc({
      socket: () => 900,
      send: (_fd, _address, length) => Number(length),
      read: (_fd, into) => {
        const next = replies.shift() ?? new Uint8Array(0);
        (into as Uint8Array).set(next);
        return next.length;
      },
      close: () => 0,
    });
  };
  const NAME = [6, 0, 0, 0, 0, 0x78, 0, 0]; // "\0x"
  const UID = [8, 0, 7, 0, 5, 0, 0, 0];

  test("listening sockets: are unknown if the kernel does not report the owner", () => {
    expect(ownedNames(kernel([...NAME, ...UID]), "x", [5])).toEqual(["x"]);
    expect(ownedNames(kernel(NAME), "x", [5])).toBeUndefined();
    expect(ownedNames(kernel([...NAME, 0, 0, 7, 0]), "x", [5])).toBeUndefined();
  });

  test("listening sockets: are unknown without sock_diag", () => {
    expect(ownedNames(fakeLibc({ socket: () => -1, errno: () => 93 }), "x", [0])).toBeUndefined();
  });
});
