import { describe, expect, test } from "bun:test";
import { SyscallError } from "../../../src/sys/errors.ts";
import { callIoctl } from "../../../src/sys/ioctl-call.ts";
import * as ne from "../../../src/sys/linux/nitro_enclaves.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

describe("ioctl rows", () => {
  test.each([
    ["NE_CREATE_VM", ne.NE_CREATE_VM, 0x8008ae20, "R", 8],
    ["NE_ADD_VCPU", ne.NE_ADD_VCPU, 0xc004ae21, "WR", 4],
    ["NE_GET_IMAGE_LOAD_INFO", ne.NE_GET_IMAGE_LOAD_INFO, 0xc010ae22, "WR", 16],
    ["NE_SET_USER_MEMORY_REGION", ne.NE_SET_USER_MEMORY_REGION, 0x4018ae23, "W", 24],
    ["NE_START_ENCLAVE", ne.NE_START_ENCLAVE, 0xc010ae24, "WR", 16],
  ] as const)("ioctl rows: %s has the request code of the header", (name, row, request, direction, size) => {
    expect(row.name).toBe(name);
    expect(row.request).toBe(request);
    expect(row.direction).toBe(direction);
    expect(row.payload.size).toBe(size);
  });

  test("driver's errors: are 256 to 275", () => {
    expect(Object.values<number>(ne.NE_ERRORS)).toEqual(Array.from({ length: 20 }, (_, i) => 256 + i));
    expect(Object.keys(ne.NE_ERRORS).every((name) => name.startsWith("NE_ERR_"))).toBe(true);
  });
});

/** A kernel whose ioctl records the request, writes 0x2a into the payload's last field and returns 7. */
function answering(seen: number[], last: number): System {
  return fakeLibc({
    ioctl: (_fd, request, payload) => {
      seen.push(Number(request));
      if (payload instanceof Uint8Array) payload[last] = 0x2a;
      return 7;
    },
  });
}

describe("callIoctl", () => {
  test("callIoctl: returns what the kernel wrote", () => {
    const seen: number[] = [];
    const system = answering(seen, 8);
    const { result, value } = callIoctl(system, 5, ne.NE_GET_IMAGE_LOAD_INFO, {
      flags: 1n,
      memory_offset: 0n,
    });
    expect(result).toBe(7);
    expect(value).toEqual({ flags: 1n, memory_offset: 42n });
    expect(seen).toEqual([0xc010ae22]);
  });

  test("callIoctl: returns the payload of an ioctl that the kernel only reads", () => {
    const payload = { flags: 0n, memory_size: 4096n, userspace_addr: 0x7f0000000000n };
    expect(callIoctl(answering([], 0), 5, ne.NE_SET_USER_MEMORY_REGION, payload).value).toEqual(payload);
  });

  test("callIoctl: the trace shows the fields, addresses in hexadecimal", () => {
    const lines: string[] = [];
    const system = answering([], 23);
    system.trace = { call: (name, args, result) => lines.push(`${name}(${args}) = ${result}`) };
    const payload = { flags: 0n, memory_size: 2097152n, userspace_addr: 0x7f0000000000n };
    callIoctl(system, 5, ne.NE_SET_USER_MEMORY_REGION, payload);
    expect(lines).toEqual([
      "NE_SET_USER_MEMORY_REGION(5, {flags=0, memory_size=2097152, userspace_addr=0x7f0000000000}) = 7",
    ]);
  });

  test("callIoctl: throws SyscallError with the name of the ioctl and the errno", () => {
    const call = () => callIoctl(openSystem(), -1, ne.NE_CREATE_VM, { slot_uid: 0n });
    expect(call).toThrow(new SyscallError("NE_CREATE_VM", 9, ""));
  });
});
