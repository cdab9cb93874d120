import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { handlerCode } from "../../../src/sys/threads/signal-handler.ts";

test("the handler's code fits a page", () => {
  const code = handlerCode(3);
  expect(code.length).toBeGreaterThan(10);
  expect(code.length).toBeLessThan(4096);
});

test.each(["x64", "arm64"])("on %s only the descriptor differs from code to code", (architecture) => {
  const [zero, other] = [handlerCode(0, architecture), handlerCode(0x1234, architecture)];
  const differing = [...zero].flatMap((byte, i) => (byte === other[i] ? [] : [i]));
  expect(zero.length).toBe(other.length);
  expect(differing.length).toBeGreaterThan(0);
  expect((differing.at(-1) ?? 0) - (differing[0] ?? 0)).toBeLessThan(4);
});

test.each([-1, 65536])("descriptor %d is refused", (fd) => {
  expect(() => handlerCode(fd)).toThrow(`descriptor ${fd} does not fit`);
});

test("the code is that of an assembler's", () => {
  const hex = (architecture: string) => Buffer.from(handlerCode(7, architecture)).toString("hex");
  expect(hex("x64")).toBe("f30f1efa574889e6bf07000000ba01000000b8010000000f055fc3");
  expect(hex("arm64")).toBe("5f2403d5e00f1ff8e1030091e0008052220080d2080880d2010000d4ff430091c0035fd6");
});

/** Floods a process with signals from outside while it computes: nothing of what it computes may change. */
test("a flood of signals changes nothing of what the program computes", () => {
  const script = join(tmpdir(), `nitro-flood-${process.pid}.ts`);
  const root = join(import.meta.dir, "../../..");
  writeFileSync(
    script,
    `import { takeSignals } from "${root}/src/sys/signals.ts";
import { openSystem } from "${root}/src/sys/system.ts";
const signals = takeSignals(openSystem());
const flood = Bun.spawn(["sh", "-c", "i=0; while [ $i -lt 3000 ]; do kill -HUP " + process.pid + "; /bin/true; i=$((i+1)); done"]);
const sum = () => { let all = 0.5; for (let i = 0; i < 300000; i++) all = (all * 1.000001 + i) % 1e6; return all; };
const first = sum();
let wrong = 0, came = 0;
const until = performance.now() + 4000;
while (came <= 50 && performance.now() < until) {
  if (sum() !== first) wrong++;
  while (signals.next() === "SIGHUP") came++;
}
console.log(wrong, came > 50 ? "many" : came);
flood.kill();
process.exit(0);
`,
  );
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, script], { timeout: 5000 });
  rmSync(script);
  expect([stdout.toString(), stderr.toString(), exitCode]).toEqual(["0 many\n", "", 0]);
});
