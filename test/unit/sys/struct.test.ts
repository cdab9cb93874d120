import { describe, expect, test } from "bun:test";
import {
  neEnclaveStartInfo,
  neImageLoadInfo,
  neUserMemoryRegion,
} from "../../../src/sys/linux/nitro_enclaves.ts";
import { sockaddrVm } from "../../../src/sys/linux/vm_sockets.ts";
import { array, struct, u8, u16, u32, u64 } from "../../../src/sys/struct.ts";

const FIELDS = { first: u8, pad: u8, second: u16, third: u32, fourth: u64, rest: array(u16, 2) };
const VALUES = {
  first: 0x11,
  pad: 0,
  second: 0x2233,
  third: 0x44556677,
  fourth: 0x8899aabbccddeeffn,
  rest: [1, 2],
};

describe("struct", () => {
  test("struct: has the size and the offset of each field", () => {
    const table = struct("sample", 20, FIELDS);
    expect(table.size).toBe(20);
    expect(table.offsets).toEqual({ first: 0, pad: 1, second: 2, third: 4, fourth: 8, rest: 16 });
  });

  test("struct: is little-endian by default", () => {
    expect(Buffer.from(struct("sample", 20, FIELDS).encode(VALUES)).toString("hex")).toBe(
      "1100332277665544ffeeddccbbaa998801000200",
    );
  });

  test("struct: is big-endian on request", () => {
    expect(Buffer.from(struct("sample", 20, FIELDS, "big-endian").encode(VALUES)).toString("hex")).toBe(
      "1100223344556677" + "8899aabbccddeeff00010002",
    );
  });

  test.each(["native", "big-endian"] as const)("struct: decodes what it encoded, %s", (order) => {
    const table = struct("sample", 20, FIELDS, order);
    expect(table.decode(table.encode(VALUES))).toEqual(VALUES);
  });

  test("struct: decodes at an offset of a view that starts at an offset of a buffer", () => {
    const table = struct("sample", 20, FIELDS);
    const buffer = new Uint8Array(40);
    buffer.set(table.encode(VALUES), 12);
    expect(table.decode(buffer.subarray(5), 7)).toEqual(VALUES);
  });

  test("struct: throws if the fields do not add up to the size", () => {
    expect(() => struct("sample", 24, FIELDS)).toThrow("struct sample has 20 bytes, its source says 24");
  });

  test("struct: throws if there are too few bytes", () => {
    expect(() => struct("sample", 20, FIELDS).decode(new Uint8Array(19))).toThrow(RangeError);
  });

  test("struct: throws for an array of another length", () => {
    const values = { ...VALUES, rest: [1] };
    expect(() => struct("sample", 20, FIELDS).encode(values)).toThrow("expected 2 values, got 1");
  });

  test("struct: keeps all 64 bits of a u64", () => {
    const table = struct("wide", 8, { value: u64 });
    for (const value of [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(table.decode(table.encode({ value })).value).toBe(value);
    }
  });
});

describe("the kernel's structures", () => {
  test("kernel structures: have the sizes of the headers", () => {
    expect(neImageLoadInfo.size).toBe(16);
    expect(neUserMemoryRegion.size).toBe(24);
    expect(neEnclaveStartInfo.size).toBe(16);
    expect(sockaddrVm.size).toBe(16);
  });

  test("kernel structures: have the offsets of the headers", () => {
    expect(neUserMemoryRegion.offsets).toEqual({ flags: 0, memory_size: 8, userspace_addr: 16 });
    expect(neEnclaveStartInfo.offsets).toEqual({ flags: 0, enclave_cid: 8 });
    expect(neImageLoadInfo.offsets).toEqual({ flags: 0, memory_offset: 8 });
    expect(sockaddrVm.offsets).toEqual({
      svm_family: 0,
      svm_reserved1: 2,
      svm_port: 4,
      svm_cid: 8,
      svm_flags: 12,
      svm_zero: 13,
    });
  });

  test("kernel structures: sockaddr_vm is encoded as the kernel reads it", () => {
    const address = sockaddrVm.encode({
      svm_family: 40,
      svm_reserved1: 0,
      svm_port: 9000,
      svm_cid: 0xffffffff,
      svm_flags: 0,
      svm_zero: [0, 0, 0],
    });
    expect(Buffer.from(address).toString("hex")).toBe("2800000028230000ffffffff00000000");
  });
});
