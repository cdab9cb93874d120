import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signalHandler } from "../../../src/sys/threads/routines.ts";

test("signal handler: the code fits a page", () => {
  const code = signalHandler(3);
  expect(code.length).toBeGreaterThan(10);
  expect(code.length).toBeLessThan(4096);
});

test.each(["x64", "arm64"] as const)(
  "signal handler: on %s the code differs only in the descriptor",
  (architecture) => {
    const [zero, other] = [signalHandler(0, architecture), signalHandler(0x1234, architecture)];
    const differing = [...zero].flatMap((byte, i) => (byte === other[i] ? [] : [i]));
    expect(zero.length).toBe(other.length);
    expect(differing.length).toBeGreaterThan(0);
    expect((differing.at(-1) ?? 0) - (differing[0] ?? 0)).toBeLessThan(4);
  },
);

test.each([-1, 65536])("signal handler: rejects descriptor %d", (fd) => {
  expect(() => signalHandler(fd)).toThrow(`descriptor ${fd} does not fit`);
});

/** Sends a flood of signals to a process that computes, and compares its results. */
test("signal handler: a flood of signals does not change the results of a computation", () => {
  const script = join(tmpdir(), `nitro-flood-${process.pid}.ts`);
  const root = join(import.meta.dir, "../../..");
  writeFileSync(
    script,
    `import { catchSignals } from "${root}/src/sys/signals.ts";
import { openSystem } from "${root}/src/sys/system.ts";
const signals = catchSignals(openSystem());
const flood = Bun.spawn(["sh", "-c", "i=0; while [ $i -lt 3000 ]; do kill -HUP " + process.pid + "; /bin/true; i=$((i+1)); done"]);
const sum = () => { let all = 0.5; for (let i = 0; i < 300000; i++) all = (all * 1.000001 + i) % 1e6; return all; };
const first = sum();
let wrong = 0, received = 0;
const until = performance.now() + 4000;
while (received <= 50 && performance.now() < until) {
  if (sum() !== first) wrong++;
  while (signals.next() === "SIGHUP") received++;
}
console.log(wrong, received > 50 ? "many" : received);
flood.kill();
process.exit(0);
`,
  );
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, script], { timeout: 5000 });
  rmSync(script);
  expect([stdout.toString(), stderr.toString(), exitCode]).toEqual(["0 many\n", "", 0]);
});
