/** Runs a command with many broken files that a seed determines. A failing case is shrunk. */
import fc from "fast-check";
import { bytesOf, type Thrown, thrown } from "./mutation.ts";
import type { Answer, Place, Run } from "./place.ts";
import { seed } from "./seeds.ts";
import type { Target } from "./targets.ts";

/** No command takes this long for a small file, even on a busy machine. */
export const LIMIT_MS = 300_000;

/** The number of cases by outcome. */
export interface Tally {
  answered: number;
  refused: number;
  slowestMs: number;
}

/** A failing case, shrunk. */
export interface Problem {
  readonly thrown: Thrown;
  readonly why: string;
}

/** Runs a command with one file and checks its outcome. Throws if that is wrong. */
export async function throwOne(target: Target, what: Thrown, place: Place, run: Run): Promise<Answer> {
  place.clear();
  const bytes = bytesOf(what, seed);
  const file = place.write("thrown", bytes);
  const answer = await run(target.args(file, place), place);
  if (answer.kind === "refused" && !/^\S[^\n]*: ./.test(answer.message)) {
    throw new Error(`not an error with its cause: ${answer.message}`);
  }
  target.check({ answer, bytes, seedName: what.seed, place });
  return answer;
}

/** Runs a command with `count` files. Returns the failing case, if any. */
export async function campaign(
  target: Target,
  { count, seed: number }: { readonly count: number; readonly seed: number },
  place: Place,
  run: Run,
  tally: Tally,
): Promise<Problem | undefined> {
  const property = fc.asyncProperty(thrown(target.seeds), async (what) => {
    const begin = performance.now();
    const { kind } = await throwOne(target, what, place, run);
    const ms = performance.now() - begin;
    tally[kind] += 1;
    tally.slowestMs = Math.max(tally.slowestMs, ms);
    if (ms > LIMIT_MS) throw new Error(`it took ${ms.toFixed(0)} ms`);
  });
  const result = await fc.check(property, { seed: number, numRuns: count, endOnFailure: false });
  const [worst] = result.counterexample ?? [];
  if (!result.failed || worst === undefined) return undefined;
  const { errorInstance: error } = result;
  return { thrown: worst, why: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}
