/** Throws broken files at a command: so many, by a seed; what goes wrong comes back as small as it could be made. */
import fc from "fast-check";
import { bytesOf, type Thrown, thrown } from "./mutation.ts";
import type { Answer, Place, Run } from "./place.ts";
import { seed } from "./seeds.ts";
import type { Target } from "./targets.ts";

/** No command takes so long for so little, on however busy a machine. */
export const LIMIT_MS = 300_000;

/** How many cases came to what. */
export interface Tally {
  answered: number;
  refused: number;
  slowestMs: number;
}

/** A case that went wrong, as small as it could be made. */
export interface Problem {
  readonly thrown: Thrown;
  readonly why: string;
}

/** Throws one file at a command and checks what comes. Throws what is wrong. */
export async function throwOne(target: Target, what: Thrown, place: Place, run: Run): Promise<Answer> {
  place.clear();
  const bytes = bytesOf(what, seed);
  const file = place.write("thrown", bytes);
  const answer = await run(target.words(file, place), place);
  if (answer.kind === "refused" && !/^\S[^\n]*: ./.test(answer.message)) {
    throw new Error(`no error with its cause: ${answer.message}`);
  }
  target.check({ answer, bytes, seedName: what.seed, place });
  return answer;
}

/** Throws `count` files. Gives the fault that was found, if one was. */
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
