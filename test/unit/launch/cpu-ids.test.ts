import { describe, expect, test } from "bun:test";
import { pickCpus } from "../../../src/launch/plan/cpu-ids.ts";
import { userErrorOf } from "../../support/error-of.ts";
import { systemWith } from "../sys/fake-files.ts";

const CPU = "/sys/devices/system/cpu";
const NE_CPUS = "/sys/module/nitro_enclaves/parameters/ne_cpus";

/** Four cores of two threads: CPU i and CPU i + 4 share one. */
function machine(pool: string | undefined, siblingsOf0 = "0,4") {
  return systemWith({
    [`${CPU}/present`]: "0-7",
    [`${CPU}/possible`]: "0-7",
    [`${CPU}/online`]: "0,4",
    [`${CPU}/cpu0/topology/thread_siblings_list`]: siblingsOf0,
    "/sys/devices/system/node/online": "0",
    ...(pool === undefined ? {} : { [NE_CPUS]: pool }),
  });
}

const pick = (ids: readonly number[], pool: string | undefined = "1-2,5-6") =>
  pickCpus(machine(pool), { value: ids, typed: "-accel nitro,cpu-ids=X" });

describe("CPUs picked by hand", () => {
  test.each([[[1, 5]], [[5, 1]], [[6, 2, 1, 5]]])("%p are taken in their order", (ids) => {
    expect(pick(ids)).toEqual({ value: ids.length, typed: "-accel nitro,cpu-ids=X", ids });
  });

  test("are one each on a machine with one thread per core", () => {
    const one = machine("1-3", "0");
    expect(pickCpus(one, { value: [3], typed: "" }).ids).toEqual([3]);
  });

  test("are left to the driver where there is no pool to be read", () => {
    expect(pickCpus(machine(undefined), { value: [3, 7], typed: "" }).ids).toEqual([3, 7]);
  });

  const hint = "the whole cores of the pool are cpu-ids=1-2,,5-6";
  test.each([
    ["that there are none of", [1, 5, 9], "this machine has no CPU 9; its CPUs are 0-7", hint],
    ["of CPU 0's core", [4], "CPU 0's core (CPUs 0,4) stays with the parent; no enclave can have it", hint],
    [
      "out of the pool",
      [3, 7],
      "CPUs 3,7 are not in the CPU pool, which is 1-2,5-6",
      `${hint}, or while no enclave runs: nitro pool --cpu-list 1-3,5-7`,
    ],
    [
      "of half a core",
      [1, 2, 6],
      "an enclave needs whole cores, and CPU 5 is missing",
      "use cpu-ids=1-2,,5-6",
    ],
  ])("%s are refused", (_, ids, why, told) => {
    expect(userErrorOf(() => pick(ids))).toEqual({ what: "-accel nitro,cpu-ids=X", why, hint: told });
  });

  test("of an empty pool are refused with how to fill it", () => {
    const failure = userErrorOf(() => pick([1, 5], ""));
    expect(failure.why).toBe("CPUs 1,5 are not in the CPU pool, which is empty");
    expect(failure.hint).toBe(`while no enclave runs: nitro pool --cpu-list 1,5`);
  });

  test("of half a core outside the pool are refused with a sufficient pool", () => {
    expect(userErrorOf(() => pick([3])).hint).toEndWith(`nitro pool --cpu-list 1-3,5-7`);
  });
});
