import { describe, expect, test } from "bun:test";
import { cpusetProblem, hugetlbProblem, memoryProblem } from "../../../src/host/process/cgroups.ts";
import { systemWith } from "../sys/fake-files.ts";

const HUGE = 2 ** 21;
const MIB = 2 ** 20;
const WANTED = [{ pageBytes: HUGE, pages: 64 }];
const ROOT = "/sys/fs/cgroup";

describe("version 2", () => {
  const own = "0::/a/b";

  test("no limit, and none that is read, are in nobody's way", () => {
    expect(hugetlbProblem(systemWith({}), WANTED)).toBeUndefined();
    const files = { "/proc/self/cgroup": own, [`${ROOT}/a/b/hugetlb.2MB.max`]: "max" };
    expect(hugetlbProblem(systemWith(files), WANTED)).toBeUndefined();
  });

  test("what is charged already counts, of every group on the way", () => {
    const files = {
      "/proc/self/cgroup": own,
      [`${ROOT}/a/hugetlb.2MB.max`]: 200 * MIB,
      [`${ROOT}/a/hugetlb.2MB.current`]: 72 * MIB,
    };
    expect(hugetlbProblem(systemWith(files), WANTED)).toBeUndefined();
    const fuller = { ...files, [`${ROOT}/a/hugetlb.2MB.current`]: 74 * MIB };
    expect(hugetlbProblem(systemWith(fuller), WANTED)).toEqual({
      why:
        "the control group /a leaves 126M of huge pages (/sys/fs/cgroup/a/hugetlb.2MB.max is 200M), " +
        "and 128M are needed",
      command: "echo max > /sys/fs/cgroup/a/hugetlb.2MB.max",
      advice: "or start nitro outside of that group",
    });
  });

  test("the root of a container's own namespace has limits as well", () => {
    const files = { "/proc/self/cgroup": "0::/", [`${ROOT}/hugetlb.1GB.max`]: 0 };
    expect(hugetlbProblem(systemWith(files), [{ pageBytes: 2 ** 30, pages: 1 }])?.command).toBe(
      `echo max > ${ROOT}/hugetlb.1GB.max`,
    );
  });

  test("the launcher's own memory", () => {
    const files = { "/proc/self/cgroup": own, [`${ROOT}/a/b/memory.max`]: 8 * MIB };
    expect(memoryProblem(systemWith(files))?.command).toBe(`echo max > ${ROOT}/a/b/memory.max`);
    const larger = { ...files, [`${ROOT}/a/b/memory.max`]: 2 ** 30 };
    expect(memoryProblem(systemWith(larger), 2 ** 31)).toBeUndefined();
    const counting = {
      ...larger,
      "/proc/self/mountinfo": "30 1 0:26 / /x rw - cgroup2 c rw,memory_hugetlb_accounting",
    };
    expect(memoryProblem(systemWith(counting), 2 ** 29)).toBeUndefined();
    expect(memoryProblem(systemWith(counting), 2 ** 31)?.why).toBe(
      `the control group /a/b leaves 1024M of memory (${ROOT}/a/b/memory.max is 1024M), ` +
        "and 2080M with the enclave's huge pages may be needed",
    );
  });
});

describe("version 1", () => {
  test("each controller has a hierarchy of its own, and so it may be beside version 2", () => {
    const files = {
      "/proc/self/cgroup": "5:cpu,cpuacct:/c\n4:hugetlb:/x/y\n0::/u",
      [`${ROOT}/unified/cgroup.procs`]: "1",
      [`${ROOT}/hugetlb/x/hugetlb.2MB.limit_in_bytes`]: 2 * MIB,
      [`${ROOT}/hugetlb/x/y/hugetlb.2MB.rsvd.limit_in_bytes`]: 0,
      [`${ROOT}/unified/u/hugetlb.2MB.max`]: 4 * MIB,
    };
    expect(hugetlbProblem(systemWith(files), WANTED)?.command).toBe(
      `echo -1 > ${ROOT}/hugetlb/x/hugetlb.2MB.limit_in_bytes && ` +
        `echo -1 > ${ROOT}/hugetlb/x/y/hugetlb.2MB.rsvd.limit_in_bytes && ` +
        `echo max > ${ROOT}/unified/u/hugetlb.2MB.max`,
    );
  });
});

describe("a cpuset", () => {
  const status = (list: string) => ({ "/proc/self/status": `Name:\tnitro\nMems_allowed_list:\t${list}` });

  test("that leaves the node is in nobody's way, nor is any where nodes do not matter", () => {
    expect(cpusetProblem(systemWith(status("0-1")), 1)).toBeUndefined();
    expect(cpusetProblem(systemWith(status("0")), undefined)).toBeUndefined();
    expect(cpusetProblem(systemWith({}), 1)).toBeUndefined();
  });

  test("that leaves it out is widened where it does so", () => {
    const files = {
      ...status("2-3"),
      "/proc/self/cgroup": "0::/a/b",
      [`${ROOT}/a/cpuset.mems`]: "2-3",
      [`${ROOT}/a/b/cpuset.mems`]: "",
    };
    expect(cpusetProblem(systemWith(files), 1)).toMatchObject({
      why:
        "the cpuset of the control group /a leaves out NUMA node 1, where the CPU pool is: " +
        "memory comes from node 2-3 only",
      command: `echo 1-3 > ${ROOT}/a/cpuset.mems`,
    });
    expect(cpusetProblem(systemWith(status("0")), 1)).toMatchObject({ command: undefined });
  });
});
