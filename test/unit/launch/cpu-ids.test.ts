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

describe("cpu-ids", () => {
  test.each([[[1, 5]], [[5, 1]], [[6, 2, 1, 5]]])("cpu-ids: %p are the vCPUs in this order", (ids) => {
    expect(pick(ids)).toEqual({ value: ids.length, typed: "-accel nitro,cpu-ids=X", ids });
  });

  test("cpu-ids: a single CPU is a whole core if cores have one thread", () => {
    const one = machine("1-3", "0");
    expect(pickCpus(one, { value: [3], typed: "" }).ids).toEqual([3]);
  });

  test("cpu-ids: an unreadable pool leaves the check to the driver", () => {
    expect(pickCpus(machine(undefined), { value: [3, 7], typed: "" }).ids).toEqual([3, 7]);
  });

  const hint = "the whole cores of the pool are cpu-ids=1-2,,5-6";
  test.each([
    ["a CPU that does not exist", [1, 5, 9], "this machine has no CPU 9; its CPUs are 0-7", hint],
    [
      "a CPU of CPU 0's core",
      [4],
      "CPU 0's core (CPUs 0,4) stays with the parent; no enclave can have it",
      hint,
    ],
    [
      "CPUs outside the pool",
      [3, 7],
      "CPUs 3,7 are not in the CPU pool, which is 1-2,5-6",
      `${hint}, or while no enclave runs: nitro pool --cpu-list 1-3,5-7`,
    ],
    ["half a core", [1, 2, 6], "an enclave needs whole cores, and CPU 5 is missing", "use cpu-ids=1-2,,5-6"],
  ])("cpu-ids: refuses %s", (_, ids, why, message) => {
    expect(userErrorOf(() => pick(ids))).toEqual({ what: "-accel nitro,cpu-ids=X", why, hint: message });
  });

  test("cpu-ids: refuses CPUs while the pool is empty, with the command that fills it", () => {
    const failure = userErrorOf(() => pick([1, 5], ""));
    expect(failure.why).toBe("CPUs 1,5 are not in the CPU pool, which is empty");
    expect(failure.hint).toBe(`while no enclave runs: nitro pool --cpu-list 1,5`);
  });

  test("cpu-ids: refuses half a core outside the pool, with a pool that has all of it", () => {
    expect(userErrorOf(() => pick([3])).hint).toEndWith(`nitro pool --cpu-list 1-3,5-7`);
  });
});
