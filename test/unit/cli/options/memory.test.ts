import { describe, expect, test } from "bun:test";
import { userErrorOf } from "../../../support/error-of.ts";
import { launchWith, parseLaunch } from "./parse-launch.ts";

const MIB = 2 ** 20;

describe("-object memory-backend-memfd", () => {
  const object = (properties: string) =>
    `-object memory-backend-memfd,id=m,size=128M${properties} -machine memory-backend=m`;

  test.each([
    ["", { pageBytes: undefined, policy: "default", hostNodes: [] }],
    [",hugetlb=on,share=on,prealloc=on,seal=on,merge=off,dump=off,reserve=on", { pageBytes: undefined }],
    [",hugetlbsize=2M", { pageBytes: 2 * MIB }],
    [",hugetlbsize=1G", { pageBytes: 1024 * MIB }],
    [",policy=bind,host-nodes=0-2", { policy: "bind", hostNodes: [0, 1, 2] }],
    [",policy=interleave,host-nodes=0,host-nodes=3", { policy: "interleave", hostNodes: [0, 3] }],
  ])("-object: size=128M%s is accepted", (args, expected) => {
    const options = launchWith(object(args));
    expect(options.memoryBackend).toMatchObject({ id: "m", ...expected } as Record<string, unknown>);
    expect(options.memoryBytes?.value).toBe(128 * MIB);
  });

  test("-object: JSON is accepted, with the same size as -m", () => {
    const json =
      '{"qom-type":"memory-backend-memfd","id":"m","size":134217728,"hugetlb":true,"host-nodes":[1],"policy":"bind"}';
    const options = parseLaunch([
      "-kernel",
      "k",
      "-m",
      "128M",
      "-object",
      json,
      "-machine",
      "memory-backend=m",
    ]);
    expect(options.memoryBackend).toMatchObject({ policy: "bind", hostNodes: [1] });
  });

  test.each([
    [
      object(",hugetlb=off"),
      "Parameter 'hugetlb' must be on: an enclave's memory consists of huge pages only",
    ],
    [
      object(",share=off"),
      "Parameter 'share' must be on: the memory is donated as a mapping of a shared file",
    ],
    [
      object(",prealloc=off"),
      "Parameter 'prealloc' must be on: the driver accepts only memory that is allocated",
    ],
    [
      object(",hugetlbsize=64k"),
      "Parameter 'hugetlbsize' must be a size of /sys/kernel/mm/hugepages from 2M on",
    ],
    [
      object(",hugetlbsize=33M"),
      "Parameter 'hugetlbsize' must be a size of /sys/kernel/mm/hugepages from 2M on",
    ],
    [object(",bogus=1"), "Property 'memory-backend-memfd.bogus' not found"],
    [object(",policy=bind"), "host-nodes must be set for policy bind"],
    [object(",host-nodes=0"), "host-nodes must be empty for policy default"],
    [object(",policy=foo"), "Parameter 'policy' does not accept value 'foo'"],
    [object(",host-nodes=2-1,policy=bind"), "Parameter 'host-nodes' does not accept nodes 2-1"],
    [`-m 64M ${object("")}`, "Machine memory size does not match the size of the memory backend"],
    ["-machine memory-backend=n", "Memory backend 'n' not found"],
    ["-object memory-backend-memfd,id=m,size=1G", "nothing uses this object"],
    ["-object memory-backend-memfd,size=1G", "Parameter 'id' is missing"],
    ["-object memory-backend-memfd,id=m", "Parameter 'size' is missing"],
    ["-object memory-backend-ram,id=m,size=1G", "use memory-backend-memfd"],
    ["-object rng-random,id=m", "Parameter 'qom-type' does not accept value 'rng-random'"],
  ])("-object: %s is refused", (args, why) => {
    expect(userErrorOf(() => launchWith(args)).why).toContain(why);
  });
});

describe("-object prealloc-threads", () => {
  const threads = (text: string) =>
    launchWith(`-object memory-backend-memfd,id=m,size=1G${text} -machine memory-backend=m`).memoryBackend
      ?.threads;

  test("prealloc-threads: is undefined unless it is given", () => {
    expect([threads(""), threads(",prealloc-threads=1"), threads(",prealloc-threads=16")]).toEqual([
      undefined,
      1,
      16,
    ]);
  });

  test.each([
    ["0", "property 'prealloc-threads' of memory-backend-memfd doesn't take value '0'"],
    ["x", "Parameter 'prealloc-threads' expects uint32"],
    ["257", "Parameter 'prealloc-threads' must be 1 to 256"],
  ])("prealloc-threads: %s is refused", (text, why) => {
    expect(userErrorOf(() => threads(`,prealloc-threads=${text}`)).why).toBe(why);
  });
});
