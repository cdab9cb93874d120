import { describe, expect, test } from "bun:test";
import { planVcpus } from "../../../src/launch/plan/vcpus.ts";
import { userErrorOf } from "../../support/error-of.ts";

const asked = (value: number, typed: string) => ({ value, typed });

describe("vCPUs", () => {
  test("without -smp are one full core", () => {
    expect(planVcpus(undefined, 2)).toEqual({ value: 2, typed: "-smp 2 (the default)" });
    expect(planVcpus(undefined, 1)).toEqual({ value: 1, typed: "-smp 1 (the default)" });
  });

  test.each([
    [2, 2],
    [4, 2],
    [1, 1],
    [3, 1],
  ])("%d of cores with %d threads are taken as they are", (value, threads) => {
    expect(planVcpus(asked(value, "-smp N"), threads)).toEqual({ value, typed: "-smp N" });
  });

  test.each([
    [1, 2, "use -smp 2"],
    [3, 2, "use -smp 2 or -smp 4"],
    [5, 4, "use -smp 4 or -smp 8"],
  ])("%d of cores with %d threads name the neighbours", (value, threads, hint) => {
    expect(userErrorOf(() => planVcpus(asked(value, `-smp ${value}`), threads))).toEqual({
      what: `-smp ${value}`,
      why: `an enclave needs whole cores, which have ${threads} threads on this instance`,
      hint,
    });
  });
});
