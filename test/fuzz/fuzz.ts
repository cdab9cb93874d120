/**
 * `npm run fuzz -- [COUNT [SEED [FIRST]]]`: the long run. It runs all commands with COUNT broken files (default
 * 100,000), a tenth of them with the built program, in batches that SEED determines; FIRST is the batch to continue
 * with. A failing case is shrunk and written to test/fuzz/found; fuzz.test.ts repeats the cases there.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/packages.ts";
import { campaign, type Problem, type Tally } from "./campaign.ts";
import { insideRunner } from "./inside.ts";
import { outsideRunner } from "./outside.ts";
import { Place, type Run } from "./place.ts";
import { REAL_TARGETS, TARGETS, type Target } from "./targets.ts";

const BATCHES = 20;
const FOUND = join(ROOT, "test/fuzz/found");
/** The share of cases that start the program. */
const OUTSIDE = 0.1;

const [count = 100_000, seed = Date.now() % 2 ** 31, first = 0] = process.argv.slice(2).map(Number);
const all = Object.entries({ ...TARGETS, ...REAL_TARGETS });
const weights = all.reduce((sum, [, { weight }]) => sum + weight, 0);
const tallies = new Map<string, Tally>(
  all.map(([name]) => [name, { answered: 0, refused: 0, slowestMs: 0 }]),
);
const places = [new Place(), new Place()] as const;
const [inside, outside] = [insideRunner(), outsideRunner()];
let faults = 0;

async function throwAt(name: string, target: Target, share: number, number: number, place: Place, run: Run) {
  const tally = tallies.get(name);
  if (tally === undefined || share === 0) return;
  const problem = await campaign(target, { count: share, seed: number }, place, run, tally);
  if (problem !== undefined) keep(name, number, problem);
}

function keep(target: string, number: number, { thrown, why }: Problem): void {
  faults += 1;
  mkdirSync(FOUND, { recursive: true });
  const file = join(FOUND, `${target.replace(/\W+/g, "-")}-${number}.json`);
  writeFileSync(file, `${JSON.stringify({ target, thrown }, null, 2)}\n`);
  console.log(`FAULT at ${target}: ${why}\n  kept in ${file}`);
}

console.log(`${count} cases, seed ${seed}, ${BATCHES} batches`);
const begin = performance.now();
for (let batch = first; batch < BATCHES; batch++) {
  for (const [i, [name, target]] of all.entries()) {
    const share = Math.ceil((count * target.weight) / weights / BATCHES);
    const started = Math.ceil(share * OUTSIDE);
    const number = (seed + batch * 1000 + i) % 2 ** 31;
    await Promise.all([
      throwAt(name, target, share - started, number, places[0], inside),
      throwAt(name, target, started, number + 500, places[1], outside),
    ]);
  }
  const done = [...tallies.values()].reduce((sum, { answered, refused }) => sum + answered + refused, 0);
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  console.log(`batch ${batch}: ${done} cases in ${seconds} s, ${faults} faults`);
}
for (const [name, { answered, refused, slowestMs }] of tallies) {
  const figures = [answered, refused].map((n) => String(n).padStart(7)).join(" answered,");
  console.log(`${name.padEnd(40)}${figures} refused; slowest ${slowestMs.toFixed(0)} ms`);
}
const rssMb = (process.memoryUsage().rss / 1e6).toFixed(0);
console.log(
  `memory: this process ${rssMb} MB; the program at most ${(outside.most.peakKib / 1024).toFixed(0)} MiB`,
);
for (const owned of [...places, inside, outside]) owned[Symbol.dispose]();
process.exit(faults === 0 ? 0 : 1);
