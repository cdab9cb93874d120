/** Compares the machine code in routines.ts with the assembler sources. */
import { expect, test } from "bun:test";
import { CALL_BYTES, HEAD_BYTES } from "../../../src/sys/threads/call-table.ts";
import { callLoop, signalHandler } from "../../../src/sys/threads/routines.ts";
import { assemble } from "../../support/assembler.ts";

const machines = [
  ["x86_64", "x64"],
  ["aarch64", "arm64"],
] as const;

function hex(code: Uint8Array): string {
  return Buffer.from(code).toString("hex");
}

test.each(machines)("routines: the code for %s equals the assembled source", (architecture, machine) => {
  const { code, labels } = assemble("src/sys/threads", architecture);
  const routine = (name: string) => hex(code.subarray(labels.get(name), labels.get(`${name}_end`)));
  expect(hex(callLoop(machine))).toBe(routine("call_loop"));
  expect(hex(signalHandler(0, machine))).toBe(routine("signal_handler"));
});

test.each(machines)("routines: the descriptor operand for %s is at its label", (architecture, machine) => {
  const { labels } = assemble("src/sys/threads", architecture);
  const at = (labels.get("signal_handler_fd") ?? 0) - (labels.get("signal_handler") ?? 0);
  const [zero, other] = [signalHandler(0, machine), signalHandler(0x1234, machine)];
  const differing = [...zero.keys()].filter((i) => zero[i] !== other[i]);
  expect(differing.every((i) => i >= at && i < at + 4)).toBe(true);
  expect(differing.length).toBeGreaterThan(0);
});

test("routines: the sources have the table sizes of call-table.ts", async () => {
  for (const architecture of ["x86_64", "aarch64"]) {
    const source = await Bun.file(
      new URL(`../../../src/sys/threads/${architecture}.S`, import.meta.url),
    ).text();
    expect(source).toContain(`a head of ${HEAD_BYTES} bytes, then ${CALL_BYTES} bytes a call`);
  }
});
