import { describe, expect, test } from "bun:test";
import {
  chooseThreads,
  mappingsCheck,
  maxMappings,
  type PreallocConditions,
} from "../../../src/launch/memory/prealloc.ts";
import { usableCpus } from "../../../src/sys/affinity.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { systemWith } from "../sys/fake-files.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function conditions(bytes: number, more: Partial<PreallocConditions> = {}, gigantic = 0): PreallocConditions {
  const ranges = [
    { pageBytes: GIB, pages: gigantic },
    { pageBytes: 2 * MIB, pages: (bytes - gigantic * GIB) / (2 * MIB) },
  ].filter(({ pages }) => pages > 0);
  const plan = { bytes, typed: "-m", node: undefined, ranges };
  return {
    plan,
    requestedThreads: undefined,
    framesVisible: true,
    mappingsAllowed: (pages: number) => pages <= 57_338,
    ...more,
  };
}

describe("chooseThreads", () => {
  test.each([
    ["62 MiB, too little for two threads", conditions(62 * MIB), 96, 1],
    ["64 MiB", conditions(64 * MIB), 96, 2],
    ["128 MiB on many CPUs", conditions(128 * MIB), 96, 4],
    ["2 GiB on many CPUs", conditions(2 * GIB), 96, 8],
    ["8 GiB on two CPUs", conditions(8 * GIB), 2, 2],
    ["8 GiB on one CPU", conditions(8 * GIB), 1, 1],
    ["64 GiB on many CPUs", conditions(64 * GIB), 96, 8],
    ["8 GiB without visible physical addresses", conditions(8 * GIB, { framesVisible: false }), 96, 1],
    ["pages of 1 GiB, which are one region each", conditions(8 * GIB, { framesVisible: false }, 8), 96, 8],
    [
      "a remainder of 2 MiB pages without visible physical addresses",
      conditions(8 * GIB, { framesVisible: false }, 7),
      96,
      1,
    ],
    [
      "more pages than may be mapped one by one",
      conditions(8 * GIB, { mappingsAllowed: (pages) => pages <= 4000 }),
      96,
      1,
    ],
    ["prealloc-threads=3", conditions(64 * MIB, { requestedThreads: 3, framesVisible: false }), 1, 3],
    ["prealloc-threads=1", conditions(64 * GIB, { requestedThreads: 1 }), 96, 1],
  ])("chooseThreads: %s", (_, given, cpus, expected) => {
    expect(chooseThreads(given, () => cpus)).toBe(expected);
  });

  test("chooseThreads: a small memory gets one thread, without counting the CPUs", () => {
    expect(
      chooseThreads(conditions(62 * MIB), () => {
        throw new Error("counted the CPUs");
      }),
    ).toBe(1);
  });
});

test("maxMappings: vm.max_map_count less a margin for the rest of the process", () => {
  const allowing = (text: string) => maxMappings(systemWith({ "/proc/sys/vm/max_map_count": text }));
  expect([allowing("65530"), allowing("262144"), allowing("1000")]).toEqual([57_338, 253_952, 500]);
  expect(maxMappings(systemWith({}))).toBe(57_338);
  const few = systemWith({ "/proc/sys/vm/max_map_count": "400" });
  expect([128, 129, 200, 201].map(mappingsCheck(few))).toEqual([true, true, true, false]);
  expect(mappingsCheck(systemWith({ "/proc/sys/vm/max_map_count": "100" }))(129)).toBe(false);
  expect(mappingsCheck(systemWith({ "/proc/sys/vm/max_map_count": "100" }))(128)).toBe(true);
});

test("usableCpus: counts the CPUs of the process's affinity mask", () => {
  const { stdout } = Bun.spawnSync(["nproc"]);
  expect(usableCpus(openSystem())).toBe(Number(stdout.toString()));
  expect(usableCpus(fakeLibc({ syscall: () => -1, errno: () => 38 }))).toBe(1);
});
