import { describe, expect, test } from "bun:test";
import { cpusetProblem, hugetlbProblem, memoryProblem } from "../../../src/host/process/cgroups.ts";
import { systemWith } from "../sys/fake-files.ts";

const HUGE = 2 ** 21;
const MIB = 2 ** 20;
const DEMAND = [{ pageBytes: HUGE, pages: 64 }];
const ROOT = "/sys/fs/cgroup";

describe("cgroup version 2", () => {
  const own = "0::/a/b";

  test("cgroup version 2: no limit, or an unreadable one, is no problem", () => {
    expect(hugetlbProblem(systemWith({}), DEMAND)).toBeUndefined();
    const files = { "/proc/self/cgroup": own, [`${ROOT}/a/b/hugetlb.2MB.max`]: "max" };
    expect(hugetlbProblem(systemWith(files), DEMAND)).toBeUndefined();
  });

  test("cgroup version 2: usage counts against the limit, in every group up to the root", () => {
    const files = {
      "/proc/self/cgroup": own,
      [`${ROOT}/a/hugetlb.2MB.max`]: 200 * MIB,
      [`${ROOT}/a/hugetlb.2MB.current`]: 72 * MIB,
    };
    expect(hugetlbProblem(systemWith(files), DEMAND)).toBeUndefined();
    const fuller = { ...files, [`${ROOT}/a/hugetlb.2MB.current`]: 74 * MIB };
    expect(hugetlbProblem(systemWith(fuller), DEMAND)).toEqual({
      why:
        "control group /a allows 126 MiB more of huge pages, 128 MiB needed " +
        "(/sys/fs/cgroup/a/hugetlb.2MB.max is 200 MiB)",
      command: "echo max > /sys/fs/cgroup/a/hugetlb.2MB.max",
      advice: "or start nitro outside that control group",
    });
  });

  test("cgroup version 2: the root of a container's cgroup namespace can have limits as well", () => {
    const files = { "/proc/self/cgroup": "0::/", [`${ROOT}/hugetlb.1GB.max`]: 0 };
    expect(hugetlbProblem(systemWith(files), [{ pageBytes: 2 ** 30, pages: 1 }])?.command).toBe(
      `echo max > ${ROOT}/hugetlb.1GB.max`,
    );
  });

  test("cgroup version 2: memory: the launcher needs 32 MiB, plus its huge pages if they are accounted", () => {
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
      "control group /a/b allows 1 GiB more of memory, 2080 MiB needed with the enclave's huge pages " +
        `(${ROOT}/a/b/memory.max is 1 GiB)`,
    );
  });
});

describe("cgroup version 1", () => {
  test("cgroup version 1: each controller has its own hierarchy, possibly next to version 2", () => {
    const files = {
      "/proc/self/cgroup": "5:cpu,cpuacct:/c\n4:hugetlb:/x/y\n0::/u",
      [`${ROOT}/unified/cgroup.procs`]: "1",
      [`${ROOT}/hugetlb/x/hugetlb.2MB.limit_in_bytes`]: 2 * MIB,
      [`${ROOT}/hugetlb/x/y/hugetlb.2MB.rsvd.limit_in_bytes`]: 0,
      [`${ROOT}/unified/u/hugetlb.2MB.max`]: 4 * MIB,
    };
    expect(hugetlbProblem(systemWith(files), DEMAND)?.command).toBe(
      `echo -1 > ${ROOT}/hugetlb/x/hugetlb.2MB.limit_in_bytes && ` +
        `echo -1 > ${ROOT}/hugetlb/x/y/hugetlb.2MB.rsvd.limit_in_bytes && ` +
        `echo max > ${ROOT}/unified/u/hugetlb.2MB.max`,
    );
  });
});

describe("cpuset", () => {
  const status = (list: string) => ({ "/proc/self/status": `Name:\tnitro\nMems_allowed_list:\t${list}` });

  test("cpuset: no problem if it includes the node, or if any node will do", () => {
    expect(cpusetProblem(systemWith(status("0-1")), 1)).toBeUndefined();
    expect(cpusetProblem(systemWith(status("0")), undefined)).toBeUndefined();
    expect(cpusetProblem(systemWith({}), 1)).toBeUndefined();
  });

  test("cpuset: the fix adds the node to the group that excludes it", () => {
    const files = {
      ...status("2-3"),
      "/proc/self/cgroup": "0::/a/b",
      [`${ROOT}/a/cpuset.mems`]: "2-3",
      [`${ROOT}/a/b/cpuset.mems`]: "",
    };
    expect(cpusetProblem(systemWith(files), 1)).toMatchObject({
      why: "the cpuset of control group /a allows memory of NUMA node 2-3 only, but the CPU pool is on node 1",
      command: `echo 1-3 > ${ROOT}/a/cpuset.mems`,
    });
    expect(cpusetProblem(systemWith(status("0")), 1)).toMatchObject({ command: undefined });
  });
});
