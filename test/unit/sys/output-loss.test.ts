import { expect, test } from "bun:test";
import { OutputLoss } from "../../../src/sys/output-loss.ts";

function loss() {
  const reported: string[] = [];
  return {
    reported,
    loss: new OutputLoss(
      () => "output",
      (line) => reported.push(line),
    ),
  };
}

const FAILED = "output failed: No space left on device (ENOSPC); dropping output until it works again";

test("a destination that fails and works in turn is reported once per second, and no byte is left out", () => {
  const { reported, loss: flapping } = loss();
  for (let i = 0; i < 100; i++) {
    flapping.failed(28, 10);
    flapping.worked();
  }
  flapping.ended();
  const missing = [...reported.join("\n").matchAll(/(\d+) bytes are missing/g)].map(([, bytes]) =>
    Number(bytes),
  );
  expect([reported[0], missing.reduce((sum, bytes) => sum + bytes, 0)]).toEqual([FAILED, 1000]);
  expect(reported.length).toBeLessThan(20);
});

test("nothing is reported for a destination that works", () => {
  const { reported, loss: working } = loss();
  working.worked();
  working.ended();
  expect(reported).toEqual([]);
});

test("one missing byte is singular, and is reported once", () => {
  const { reported, loss: failing } = loss();
  failing.failed(28, 1);
  failing.ended();
  failing.ended();
  expect(reported).toEqual([FAILED, "output has ended; 1 byte is missing"]);
});
