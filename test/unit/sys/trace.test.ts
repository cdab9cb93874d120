import { describe, expect, test } from "bun:test";
import { createTrace, flagNames, hex, quoted } from "../../../src/sys/trace.ts";

function traced(...flags: ("syscalls" | "vsock")[]) {
  const lines: string[] = [];
  return { lines, trace: createTrace(new Set(flags), (line) => lines.push(line)) };
}

describe("trace", () => {
  test("trace: shows a call with arguments and result", () => {
    const { lines, trace } = traced("syscalls");
    trace.call?.("open", '"/x", O_CLOEXEC', 3);
    expect(lines).toEqual(['open("/x", O_CLOEXEC) = 3']);
  });

  test("trace: shows the name of the errno of a failed call", () => {
    const { lines, trace } = traced("syscalls");
    trace.call?.("open", '"/x", 0', -1, 2);
    trace.call?.("NE_CREATE_VM", "4, {slot_uid=0}", -1, 272);
    expect(lines).toEqual([
      'open("/x", 0) = -1 ENOENT',
      "NE_CREATE_VM(4, {slot_uid=0}) = -1 NE_ERR_NO_CPUS_AVAIL_IN_POOL",
    ]);
  });

  test("trace: shows addresses in hexadecimal", () => {
    const { lines, trace } = traced("syscalls");
    trace.call?.("mmap", "NULL", 0x7f1234500000);
    expect(lines).toEqual(["mmap(NULL) = 0x7f1234500000"]);
  });

  test("trace: has only the selected items", () => {
    expect(Object.keys(traced().trace)).toEqual([]);
    expect(Object.keys(traced("syscalls").trace)).toEqual(["call"]);
    const { lines, trace } = traced("vsock");
    trace.vsock?.("console: ended");
    expect(Object.keys(trace)).toEqual(["vsock"]);
    expect(lines).toEqual(["vsock: console: ended"]);
  });
});

describe("text of a trace line", () => {
  test("hex: has the prefix 0x", () => {
    expect([hex(255), hex(2n ** 64n - 1n)]).toEqual(["0xff", "0xffffffffffffffff"]);
  });

  test("quoted: text is cut and has no control characters", () => {
    expect(quoted('a"b')).toBe('"a\\"b"');
    expect(quoted("\x1b[2J\n")).toBe('"\\u001b[2J\\n"');
    expect(quoted("x".repeat(100))).toBe(`"${"x".repeat(64)}…"`);
  });

  test("quoted: text has no C1 control characters", () => {
    // U+009B is a terminal's one-character ESC [.
    expect(quoted("a\u009b2Jb\u007f")).toBe('"a\\x9b2Jb\\x7f"');
  });

  test("flagNames: prints unknown bits in hexadecimal", () => {
    const names = { O_RDWR: 2, O_CREAT: 0o100, O_CLOEXEC: 0o2000000 };
    expect(flagNames(2 | 0o2000000, names)).toBe("O_RDWR|O_CLOEXEC");
    expect(flagNames(0, names)).toBe("0");
    expect(flagNames(2 | 0x8, names)).toBe("O_RDWR|0x8");
    expect(flagNames(0x80000000, {})).toBe("0x80000000");
  });
});
