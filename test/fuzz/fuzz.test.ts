/** Every command with broken files, the same ones in each run, and with those that once revealed a fault. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { campaign, type Tally, throwOne } from "./campaign.ts";
import { insideRunner } from "./inside.ts";
import type { Thrown } from "./mutation.ts";
import { outsideRunner } from "./outside.ts";
import { Place } from "./place.ts";
import { TARGETS } from "./targets.ts";

const FOUND = join(import.meta.dir, "found");
const SEED = 20261127;
setDefaultTimeout(300_000);

const place = new Place();
const inside = insideRunner();
const outside = outsideRunner();
afterAll(() => {
  place[Symbol.dispose]();
  inside[Symbol.dispose]();
  outside[Symbol.dispose]();
});

const all = { answered: 0, refused: 0 };

describe("broken files", () => {
  test.each(Object.keys(TARGETS))(
    "broken file: causes an error with its reason, or correct output: %s",
    async (name) => {
      const target = TARGETS[name];
      if (target === undefined) throw new Error(name);
      const tally: Tally = { answered: 0, refused: 0, slowestMs: 0 };
      expect(await campaign(target, { count: 120, seed: SEED }, place, inside, tally)).toBeUndefined();
      expect(await campaign(target, { count: 6, seed: SEED + 1 }, place, outside, tally)).toBeUndefined();
      expect(tally.answered + tally.refused).toBe(126);
      all.answered += tally.answered;
      all.refused += tally.refused;
    },
  );
});

test("broken files: some are rejected, and others are still valid", () => {
  expect(all.refused).toBeGreaterThan(500);
  expect(all.answered).toBeGreaterThan(300);
});

describe("known faults", () => {
  const found = existsSync(FOUND) ? readdirSync(FOUND).sort() : [];
  const cases = found.map((file): { file: string; target: string; thrown: Thrown } => ({
    file,
    ...JSON.parse(readFileSync(join(FOUND, file), "utf8")),
  }));
  test.each(cases)("known fault: is fixed: $file", async ({ target: name, thrown }) => {
    const target = TARGETS[name];
    if (target === undefined) return;
    for (const run of [inside, outside]) {
      expect(await throwOne(target, thrown, place, run)).toEqual(expect.anything());
    }
  });
});
