import { describe, expect, test } from "bun:test";
import { freeMemory } from "../../../src/host/memory/free-memory.ts";
import { systemWith } from "../sys/fake-files.ts";

describe("free memory", () => {
  const files = {
    "/proc/buddyinfo":
      "Node 0, zone      DMA      1      1      1      1      1      1      1      1      1      1      2 \n" +
      "Node 0, zone   Normal     10      0      0      0      0      0      0      0      7      3      4 \n" +
      "Node 1, zone   Normal      0      0      0      0      0      0      0      0      0      1      0 ",
    "/proc/meminfo": "MemFree:  4096 kB\nActive(file):  10 kB\nInactive(file):  6 kB",
    "/sys/devices/system/node/node1/meminfo": "Node 1 MemFree:  2048 kB\nNode 1 Active(file):  1 kB",
  };

  test.skipIf(process.arch === "arm64")(
    "free memory: counts the contiguous 2 MiB pages of the machine and of a node",
    () => {
      const system = systemWith(files);
      expect(freeMemory(system, undefined)).toEqual({
        free: 2 ** 22,
        cached: 2 ** 14,
        contiguousPages: 1 + 4 + 3 + 8 + 1,
      });
      expect(freeMemory(system, 1)).toEqual({ free: 2 ** 21, cached: 2 ** 10, contiguousPages: 1 });
    },
  );

  test("free memory: falls back to the machine's figures if the node has none", () => {
    expect(freeMemory(systemWith(files), 7)?.free).toBe(2 ** 22);
  });

  test("free memory: is undefined if the kernel does not provide the figures", () => {
    expect(freeMemory(systemWith({}), 1)).toBeUndefined();
  });
});
