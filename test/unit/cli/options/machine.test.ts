import { describe, expect, test } from "bun:test";
import { userErrorOf } from "../../../support/error-of.ts";
import { parseLaunch } from "./parse-launch.ts";

const MIB = 2 ** 20;

describe("-machine properties that mirror options", () => {
  test.each([
    [
      "-machine nitro,kernel=a,initrd=b",
      {
        kernel: { value: "a", typed: "-machine kernel=a" },
        initrd: { value: "b", typed: "-machine initrd=b" },
      },
    ],
    ["-machine kernel=a -kernel c", { kernel: { value: "c", typed: "-kernel c" } }],
    ["-kernel c -machine kernel=a", { kernel: { value: "a", typed: "-machine kernel=a" } }],
    [
      "-M kernel=a,memory.size=70M -m 80M",
      { kernel: { value: "a" }, memoryBytes: { value: 80 * MIB, typed: "-m 80M" } },
    ],
    ["-m 80M -M kernel=a,memory.size=70M", { memoryBytes: { value: 70 * MIB, typed: "-M memory.size=70M" } }],
    ["-M kernel=a,smp.cores=2,smp.threads=2", { vcpus: { value: 4 } }],
    ["-smp 8 -M kernel=a,smp.cpus=4", { vcpus: { value: 4 } }],
    ["-M kernel=a,append=x=1,,2", { commandLine: { value: "x=1,2", typed: "-M append=x=1,,2" } }],
  ])("mirrored property: %s", (args, expected) => {
    const { memoryBytes, ...rest } = expected as { memoryBytes?: { value: number } };
    const options = parseLaunch(args.split(" "));
    expect(options).toMatchObject(rest);
    if (memoryBytes !== undefined) expect(options.memoryBytes?.value).toBe(memoryBytes.value);
  });
});

describe("-machine: properties of the image", () => {
  const ramdisks = (args: readonly string[], files = {}) =>
    parseLaunch(["-kernel", "k", ...args], files).ramdisks.map(({ value }) => value);

  test("-machine: every ramdisk= adds one, in order, from -machine and from a file", () => {
    expect(ramdisks(["-M", "nitro,ramdisk=a,ramdisk=b", "-machine", "ramdisk=c"])).toEqual(["a", "b", "c"]);
    expect(ramdisks(["-M", "nitro,ramdisk=x,,y,ramdisk=a=b"])).toEqual(["x,y", "a=b"]);
    expect(ramdisks(["-M", "ramdisk=a", "-M", "ramdisk=a"])).toEqual(["a", "a"]);
    expect(ramdisks(["-machine", '{"type":"nitro","ramdisk":["a,b","c"]}'])).toEqual(["a,b", "c"]);
    expect(ramdisks(["-machine", '{"type":"nitro","ramdisk":"a"}'])).toEqual(["a"]);
    const file = '[machine]\nramdisk = "b,c"\nramdisk = "d"\n';
    expect(ramdisks(["-M", "ramdisk=a", "-readconfig", "f"], { f: file })).toEqual(["a", "b,c", "d"]);
  });

  test("-machine: a ramdisk is named as it was typed", () => {
    const options = parseLaunch(["-kernel", "k", "-machine", "nitro,ramdisk=a,any-kernel=on"]);
    expect(options.ramdisks).toEqual([{ value: "a", typed: "-machine ramdisk=a" }]);
    expect(options.anyKernel).toBe(true);
    expect(options.initrd).toBeUndefined();
  });

  test.each([
    ["any-kernel=on", true],
    ["nitro,any-kernel=off", false],
    ["any-kernel=on,any-kernel=off", false],
    ["ramdisk=a", false],
  ])("-M %s: is accepted", (args, expected) => {
    expect(parseLaunch(["-kernel", "k", "-M", args]).anyKernel).toBe(expected);
  });

  test("any-kernel: the last one of several -M counts", () => {
    expect(parseLaunch(["-kernel", "k", "-M", "any-kernel=off", "-M", "any-kernel=on"]).anyKernel).toBe(true);
  });

  test.each([
    ["any-kernel=maybe", "Parameter 'any-kernel' expects 'on' or 'off'"],
    ["any-kernel=on,any-kernel=maybe", "Parameter 'any-kernel' expects 'on' or 'off'"],
    ["ramdisk=", "Parameter 'ramdisk' expects the name of a file"],
    ["ramdisk=,ramdisk=a", "Parameter 'ramdisk' expects the name of a file"],
    ["ramdisks=a,ramdisk=b", "Property 'nitro-machine.ramdisks' not found"],
  ])("-M %s: is refused", (args, why) => {
    const failure = userErrorOf(() => parseLaunch(["-kernel", "k", "-M", args]));
    expect([failure.what, failure.why]).toEqual([`-M ${args}`, why]);
  });
});
