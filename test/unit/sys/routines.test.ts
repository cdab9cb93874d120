/** The machine code in routines.ts is that of the assembler sources. */
import { expect, test } from "bun:test";
import { CALL_BYTES, HEAD_BYTES } from "../../../src/sys/threads/call-table.ts";
import { callLoop, signalHandler } from "../../../src/sys/threads/routines.ts";
import { assembleRoutines } from "../../support/assembler.ts";

const machines = [
  ["x86_64", "x64"],
  ["aarch64", "arm64"],
] as const;

function hex(code: Uint8Array): string {
  return Buffer.from(code).toString("hex");
}

test.each(machines)(
  "routines: the code for %s is what binutils make of its source",
  (architecture, machine) => {
    const { code, labels } = assembleRoutines(architecture);
    const routine = (name: string) => hex(code.subarray(labels.get(name), labels.get(`${name}_end`)));
    expect(hex(callLoop(machine))).toBe(routine("call_loop"));
    expect(hex(signalHandler(0, machine))).toBe(routine("signal_handler"));
  },
);

test.each(machines)(
  "routines: the descriptor for %s is at the label of the source",
  (architecture, machine) => {
    const { labels } = assembleRoutines(architecture);
    const at = (labels.get("signal_handler_fd") ?? 0) - (labels.get("signal_handler") ?? 0);
    const [zero, other] = [signalHandler(0, machine), signalHandler(0x1234, machine)];
    const differing = [...zero.keys()].filter((i) => zero[i] !== other[i]);
    expect(differing.every((i) => i >= at && i < at + 4)).toBe(true);
    expect(differing.length).toBeGreaterThan(0);
  },
);

test("routines: the sizes of the table are those of the sources", async () => {
  for (const architecture of ["x86_64", "aarch64"]) {
    const source = await Bun.file(
      new URL(`../../../src/sys/threads/${architecture}.S`, import.meta.url),
    ).text();
    expect(source).toContain(`a head of ${HEAD_BYTES} bytes, then ${CALL_BYTES} bytes a call`);
  }
});
