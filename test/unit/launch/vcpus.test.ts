import { describe, expect, test } from "bun:test";
import { planVcpus } from "../../../src/launch/plan/vcpus.ts";
import { userErrorOf } from "../../support/error-of.ts";

const requested = (value: number, typed: string) => ({ value, typed });

describe("vCPUs", () => {
  test("planVcpus: without -smp there is one whole core", () => {
    expect(planVcpus(undefined, 2)).toEqual({ value: 2, typed: "-smp 2 (the default)" });
    expect(planVcpus(undefined, 1)).toEqual({ value: 1, typed: "-smp 1 (the default)" });
  });

  test.each([
    [2, 2],
    [4, 2],
    [1, 1],
    [3, 1],
  ])("planVcpus: %d vCPUs are accepted if cores have %d threads", (value, threads) => {
    expect(planVcpus(requested(value, "-smp N"), threads)).toEqual({ value, typed: "-smp N" });
  });

  test.each([
    [1, 2, "use -smp 2"],
    [3, 2, "use -smp 2 or -smp 4"],
    [5, 4, "use -smp 4 or -smp 8"],
  ])(
    "planVcpus: %d vCPUs are refused if cores have %d threads; the hint has the nearest numbers",
    (value, threads, hint) => {
      expect(userErrorOf(() => planVcpus(requested(value, `-smp ${value}`), threads))).toEqual({
        what: `-smp ${value}`,
        why: `an enclave needs whole cores, which have ${threads} threads on this instance`,
        hint,
      });
    },
  );
});
