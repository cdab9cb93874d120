import { describe, expect, test } from "bun:test";
import { allocatorRequest } from "../../../src/cli/commands/allocator-file.ts";
import { userErrorOf } from "../../support/error-of.ts";

const MIB = 2 ** 20;
const read = (text: string) => allocatorRequest(text, "--config x");
const cpus = (list: number[], more: number) => ({ list, more, typed: "--config x" });
const memory = (...mib: number[]) => ({ bytes: mib.map((each) => each * MIB), typed: "--config x" });

describe("allocator.yaml", () => {
  test.each([
    ["---\n# comment\nmemory_mib: 512\ncpu_count: 2\n", cpus([], 2), memory(512)],
    ['memory_mib: "512"\ncpu_count: "2"\n', cpus([], 2), memory(512)],
    ["---\nmemory_mib: 3072\ncpu_pool: 2,3,6-9\n", cpus([2, 3, 6, 7, 8, 9], 0), memory(3072)],
    ["---\nmemory_mib: 64\ncpu_pool: 1\n", cpus([1], 0), memory(64)],
    [
      "---\n- memory_mib: 512\n  cpu_count: 2\n- memory_mib: 1024\n  cpu_pool: 2-3\n",
      cpus([2, 3], 2),
      memory(512, 1024),
    ],
    ["memory_mib:512\ncpu_count:2", cpus([], 2), memory(512)],
    ["---\n  memory_mib: 512\n\tcpu_count: 2\n", cpus([], 2), memory(512)],
    ["---\r\nmemory_mib: 512\r\n\r\n# comment\r\ncpu_count: 2\r\n", cpus([], 2), memory(512)],
    ["\uFEFF---\nmemory_mib : 512  \ncpu_count   :\t2\t\n", cpus([], 2), memory(512)],
    ["---\n   # comment\nmemory_mib: 512 # MiB\ncpu_count:2   # CPUs\n", cpus([], 2), memory(512)],
    ["memory_mib:'512'\ncpu_pool:\"2,3,6-9\"\n", cpus([2, 3, 6, 7, 8, 9], 0), memory(512)],
    ["memory_mib:512\ncpu_pool: 2, 3 ,6\n", cpus([2, 3, 6], 0), memory(512)],
    [
      "a header\nmemory_mib: 3\n---\nmemory_mib: 1\n---\nmemory_mib:512\ncpu_count:2",
      cpus([], 2),
      memory(512),
    ],
    [
      "\uFEFF- memory_mib: 512\r\n  cpu_count: 2\r\n- memory_mib: 64\r\n  cpu_pool: '6, 7'\r\n",
      cpus([6, 7], 2),
      memory(512, 64),
    ],
    ["{memory_mib: 512, cpu_count: 2}", cpus([], 2), memory(512)],
  ])("allocator.yaml: reads %j", (text, expectedCpus, expectedMemory) => {
    expect(read(text)).toEqual({ cpus: expectedCpus, memory: expectedMemory });
  });

  test.each([
    ["", /must have keys and values/],
    ["512", /must have keys and values/],
    ["- 1\n- 2", /entry 1: it must have keys/],
    ["[]", /list is empty/],
    ["cpu_count: 2", /memory_mib is missing/],
    ["memory_mib: 512", /cpu_count is missing/],
    ["memory_mib: 512\ncpu_count: 2\ncpu_pool: 2-3", /cpu_count conflicts with cpu_pool/],
    ["memory_mib: 512\ncpu_count: 2\nnosuch: 1", /unknown key "nosuch"/],
    ["memory_mib: 512\ncpu_count: 2\n__proto__: 1", /__proto__|unknown key/],
    ["memory_mib: 0\ncpu_count: 2", /memory_mib must be a number of MiB, not "0"/],
    ["memory_mib: -1\ncpu_count: 2", /memory_mib must be a number/],
    ["memory_mib: 1e30\ncpu_count: 2", /memory_mib must be a number/],
    ["memory_mib: .inf\ncpu_count: 2", /memory_mib must be a number of MiB, not ".inf"/],
    ["memory_mib:\ncpu_count: 2", /memory_mib must be a number of MiB, not ""/],
    ["memory_mib: 512 MiB\ncpu_count: 2", /memory_mib must be a number of MiB, not "512 MiB"/],
    ["memory_mib 512\ncpu_count 2", /must have keys and values/],
    ["memory_mib: 512\ncpu_count: 1.5", /cpu_count must be a number/],
    ["memory_mib: 512\ncpu_count: [2]", /expected one value for "cpu_count"/],
    ["memory_mib: {a: 1}\ncpu_count: 2", /expected one value for "memory_mib"/],
    ["memory_mib: 512\ncpu_pool: 2-1", /cpu_pool must be a list/],
    ["memory_mib: 512\ncpu_pool: 0-999999", /cpu_pool must be a list/],
    ["memory_mib: 512\ncpu_pool: ''", /cpu_pool must be a list/],
    ["memory_mib: 512\ncpu_pool: '2; rm -rf /'", /cpu_pool must be a list/],
    ["memory_mib: [", /./],
    ["a: 1\n---\nb: 2\n---\n", /unknown key "b"/],
    ["---\n- memory_mib: 512\n  cpu_count: 2\n---\n- memory_mib: 512\n", /several documents/],
    [`memory_mib: 512 # ${"x".repeat(70_000)}`, /more than 65536 characters/],
    [`- {memory_mib: 1, cpu_count: 2}\n`.repeat(65), /more than 64 entries/],
    [
      "- {memory_mib: 1, cpu_pool: 2-3}\n- {memory_mib: 1, cpu_pool: 3-4}\n",
      /entry 2: cpu_pool repeats CPU 3/,
    ],
  ])("allocator.yaml: rejects %j", (text, why) => {
    const error = userErrorOf(() => read(text));
    expect(error.what).toBe("--config x");
    expect(error.why).toMatch(why);
    expect(error.hint?.length).toBeGreaterThan(5);
  });

  test("allocator.yaml: rejects aliases that expand exponentially, and deep nesting", () => {
    const layers = Array.from({ length: 30 }, (_, i) => `l${i + 1}: &l${i + 1} [*l${i}, *l${i}]`);
    expect(userErrorOf(() => read(`l0: &l0 [x]\n${layers.join("\n")}\n`)).why).toMatch(
      /unknown key|aliasing/,
    );
    expect(userErrorOf(() => read("[".repeat(30_000))).why).toMatch(/./);
    expect(userErrorOf(() => read(`${"[".repeat(30_000)}${"]".repeat(30_000)}`)).why).toMatch(/./);
    expect(userErrorOf(() => read("- ".repeat(30_000))).why).toMatch(/./);
  });
});
