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

function facts(bytes: number, more: Partial<PreallocConditions> = {}, giant = 0): PreallocConditions {
  const ranges = [
    { pageBytes: GIB, pages: giant },
    { pageBytes: 2 * MIB, pages: (bytes - giant * GIB) / (2 * MIB) },
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

describe("threads", () => {
  test.each([
    ["what one thread does in no time", facts(62 * MIB), 96, 1],
    ["a small memory", facts(64 * MIB), 96, 2],
    ["a small memory on many CPUs", facts(128 * MIB), 96, 4],
    ["2 GiB on many CPUs", facts(2 * GIB), 96, 8],
    ["8 GiB on two CPUs", facts(8 * GIB), 2, 2],
    ["8 GiB on one CPU", facts(8 * GIB), 1, 1],
    ["64 GiB on many CPUs", facts(64 * GIB), 96, 8],
    ["pages that could not be put in order", facts(8 * GIB, { framesVisible: false }), 96, 1],
    ["pages of 1 GiB, each of which is a region", facts(8 * GIB, { framesVisible: false }, 8), 96, 8],
    ["a rest that could not be put in order", facts(8 * GIB, { framesVisible: false }, 7), 96, 1],
    [
      "more pages than may be mapped one by one",
      facts(8 * GIB, { mappingsAllowed: (pages) => pages <= 4000 }),
      96,
      1,
    ],
    [
      "as many as are requestedThreads for",
      facts(64 * MIB, { requestedThreads: 3, framesVisible: false }),
      1,
      3,
    ],
    ["one where one is requestedThreads for", facts(64 * GIB, { requestedThreads: 1 }), 96, 1],
  ])("for %s", (_, given, cpus, expected) => {
    expect(chooseThreads(given, () => cpus)).toBe(expected);
  });

  test("CPUs are not requestedThreads for where there is little to do", () => {
    expect(
      chooseThreads(facts(62 * MIB), () => {
        throw new Error("requestedThreads");
      }),
    ).toBe(1);
  });
});

test("mappings are what the kernel allows, less many for the rest of the process", () => {
  const allowing = (text: string) => maxMappings(systemWith({ "/proc/sys/vm/max_map_count": text }));
  expect([allowing("65530"), allowing("262144"), allowing("1000")]).toEqual([57_338, 253_952, 500]);
  expect(maxMappings(systemWith({}))).toBe(57_338);
  const few = systemWith({ "/proc/sys/vm/max_map_count": "400" });
  expect([128, 129, 200, 201].map(mappingsCheck(few))).toEqual([true, true, true, false]);
  expect(mappingsCheck(systemWith({ "/proc/sys/vm/max_map_count": "100" }))(129)).toBe(false);
  expect(mappingsCheck(systemWith({ "/proc/sys/vm/max_map_count": "100" }))(128)).toBe(true);
});

test("the CPUs are those that the process may use", () => {
  const { stdout } = Bun.spawnSync(["nproc"]);
  expect(usableCpus(openSystem())).toBe(Number(stdout.toString()));
  expect(usableCpus(fakeLibc({ syscall: () => -1, errno: () => 38 }))).toBe(1);
});
