/** Options that few launches have: what they come to, and what is refused with which words. */
import { describe, expect, test } from "bun:test";
import { parseCommandLine } from "../../../src/cli/command-line.ts";
import { messagePrefix } from "../../../src/cli/options/name.ts";
import type { LaunchOptions } from "../../../src/launch/options.ts";
import { userErrorOf } from "../../support/error-of.ts";

const MIB = 2 ** 20;

function launch(words: readonly string[], files: Readonly<Record<string, string>> = {}): LaunchOptions {
  const request = parseCommandLine(words, (path) => files[path] ?? "");
  if (!("launch" in request)) throw new Error("that is no launch");
  return request.launch;
}

const more = (words: string) => launch(["-kernel", "k", ...words.split(" ")]);
const ordinary = {
  daemonize: false,
  user: undefined,
  chroot: undefined,
  exitWithParent: false,
  sandbox: false,
  processName: undefined,
};

describe("the machine's properties are options where they stand, and the last one counts", () => {
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
  ])("%s", (words, expected) => {
    const { memoryBytes, ...rest } = expected as { memoryBytes?: { value: number } };
    const options = launch(words.split(" "));
    expect(options).toMatchObject(rest);
    if (memoryBytes !== undefined) expect(options.memoryBytes?.value).toBe(memoryBytes.value);
  });
});

describe("CPUs picked by hand", () => {
  const ids = (accel: string, ...rest: string[]) => launch(["-kernel", "k", "-accel", accel, ...rest]).cpuIds;

  test.each([
    ["nitro,cpu-ids=2", [2]],
    ["nitro,cpu-ids=2-5", [2, 3, 4, 5]],
    ["cpu-ids=2-3,,6", [2, 3, 6]],
    ["nitro,cpu-ids=7,,3", [7, 3]],
    ["nitro,cpu-ids=2-3,debug-mode=on,cpu-ids=6-7", [2, 3, 6, 7]],
    ["nitro,cpu-ids=2-3,measure=on", [2, 3]],
  ])("%s", (accel, expected) => {
    expect(ids(accel)?.value).toEqual(expected);
  });

  test("are told as they are typed", () => {
    expect(ids("debug-mode=on,cpu-ids=2-3,,6,cpu-ids=8")?.typed).toBe("-accel cpu-ids=2-3,,6,cpu-ids=8");
  });

  test.each([
    ["cpu-ids=", "Parameter 'cpu-ids' expects CPUs, such as 2-3 or 2-3,,6-7"],
    ["cpu-ids=a", "Parameter 'cpu-ids' expects CPUs, such as 2-3 or 2-3,,6-7"],
    ["cpu-ids=2-", "Parameter 'cpu-ids' expects CPUs, such as 2-3 or 2-3,,6-7"],
    ["cpu-ids=2-3-4", "Parameter 'cpu-ids' expects CPUs, such as 2-3 or 2-3,,6-7"],
    ["cpu-ids=-2", "Parameter 'cpu-ids' expects CPUs, such as 2-3 or 2-3,,6-7"],
    ["cpu-ids=3-2", "Parameter 'cpu-ids' does not accept CPUs 3-2"],
    ["cpu-ids=99999", "Parameter 'cpu-ids' does not accept CPUs 99999"],
    ["cpu-ids=0-1", "cpu-ids: CPU 0 stays with the parent; no enclave can have it"],
    ["cpu-ids=2-3,,3", "cpu-ids names CPU 3 twice"],
    ["cpu-ids=2,cpu-ids=1-2", "cpu-ids names CPU 2 twice"],
  ])("%s is refused", (accel, why) => {
    const failure = userErrorOf(() => ids(`nitro,${accel}`));
    expect(failure.why).toBe(why);
    expect(failure.what).toContain(accel);
  });

  test("give the number of vCPUs, and -smp beside them has to agree", () => {
    expect(ids("nitro,cpu-ids=2-5", "-smp", "4")?.value).toHaveLength(4);
    expect(userErrorOf(() => ids("nitro,cpu-ids=2-5", "-smp", "2"))).toEqual({
      what: "-smp 2",
      why: "-accel cpu-ids=2-5 selects 4 CPUs",
      hint: "use -smp 4, or leave it out",
    });
    expect(userErrorOf(() => ids("nitro,cpu-ids=2", "-M", "smp.cpus=2")).hint).toBe(
      "use -smp 1, or leave it out",
    );
  });
});

describe("threads that allocate the memory", () => {
  const threads = (text: string) =>
    more(`-object memory-backend-memfd,id=m,size=1G${text} -machine memory-backend=m`).memoryBackend?.threads;

  test("are nitro's choice unless they are said", () => {
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
  ])("%s is refused", (text, why) => {
    expect(userErrorOf(() => threads(`,prealloc-threads=${text}`)).why).toBe(why);
  });
});

describe("properties of the machine's image", () => {
  const ramdisks = (words: readonly string[], files = {}) =>
    launch(["-kernel", "k", ...words], files).ramdisks.map(({ value }) => value);

  test("every ramdisk= is one more, in order, from wherever it is said", () => {
    expect(ramdisks(["-M", "nitro,ramdisk=a,ramdisk=b", "-machine", "ramdisk=c"])).toEqual(["a", "b", "c"]);
    expect(ramdisks(["-M", "nitro,ramdisk=x,,y,ramdisk=a=b"])).toEqual(["x,y", "a=b"]);
    expect(ramdisks(["-M", "ramdisk=a", "-M", "ramdisk=a"])).toEqual(["a", "a"]);
    expect(ramdisks(["-machine", '{"type":"nitro","ramdisk":["a,b","c"]}'])).toEqual(["a,b", "c"]);
    expect(ramdisks(["-machine", '{"type":"nitro","ramdisk":"a"}'])).toEqual(["a"]);
    const file = '[machine]\nramdisk = "b,c"\nramdisk = "d"\n';
    expect(ramdisks(["-M", "ramdisk=a", "-readconfig", "f"], { f: file })).toEqual(["a", "b,c", "d"]);
  });

  test("it is told as it was typed", () => {
    const options = launch(["-kernel", "k", "-machine", "nitro,ramdisk=a,any-kernel=on"]);
    expect(options.ramdisks).toEqual([{ value: "a", typed: "-machine ramdisk=a" }]);
    expect(options.anyKernel).toBe(true);
    expect(options.initrd).toBeUndefined();
  });

  test.each([
    ["any-kernel=on", true],
    ["nitro,any-kernel=off", false],
    ["any-kernel=on,any-kernel=off", false],
    ["ramdisk=a", false],
  ])("-M %s", (words, expected) => {
    expect(launch(["-kernel", "k", "-M", words]).anyKernel).toBe(expected);
  });

  test("of any-kernel across -M the last counts", () => {
    expect(launch(["-kernel", "k", "-M", "any-kernel=off", "-M", "any-kernel=on"]).anyKernel).toBe(true);
  });

  test.each([
    ["any-kernel=maybe", "Parameter 'any-kernel' expects 'on' or 'off'"],
    ["any-kernel=on,any-kernel=maybe", "Parameter 'any-kernel' expects 'on' or 'off'"],
    ["ramdisk=", "Parameter 'ramdisk' expects the name of a file"],
    ["ramdisk=,ramdisk=a", "Parameter 'ramdisk' expects the name of a file"],
    ["ramdisks=a,ramdisk=b", "Property 'nitro-machine.ramdisks' not found"],
  ])("-M %s is refused", (words, why) => {
    const failure = userErrorOf(() => launch(["-kernel", "k", "-M", words]));
    expect([failure.what, failure.why]).toEqual([`-M ${words}`, why]);
  });
});

describe("properties of the accelerator about PCRs", () => {
  const HEX = "0123456789ab".repeat(8);
  const asked = (words: string) => launch(["-kernel", "k", "-accel", words]);

  test.each([
    ["nitro,measure=on", { told: true, expected: [] }],
    ["measure=on", { told: true, expected: [] }],
    ["nitro,measure=off", undefined],
    ["measure=off,measure=on", { told: true, expected: [] }],
    [`expect-pcr0=${HEX}`, { told: false, expected: [{ index: 0, hex: HEX }] }],
    [`nitro,expect-pcr8=${HEX.toUpperCase()}`, { told: false, expected: [{ index: 8, hex: HEX }] }],
    [
      `measure=on,expect-pcr2=${HEX},expect-pcr1=${HEX}`,
      {
        told: true,
        expected: [
          { index: 1, hex: HEX },
          { index: 2, hex: HEX },
        ],
      },
    ],
  ] as const)("-accel %s", (words, expected) => {
    expect(asked(words).measure).toEqual(expected as LaunchOptions["measure"]);
  });

  test("the others are read as ever", () => {
    const options = asked("nitro,debug-mode=on,measure=on,enclave-cid=20");
    expect([options.debugMode, options.enclaveCid]).toEqual([true, 20n]);
  });

  const long = (name: string) => `Parameter '${name}' expects 96 hexadecimal digits, a SHA-384 hash`;
  test.each([
    ["expect-pcr0=abc", long("expect-pcr0")],
    [`expect-pcr1=${HEX}0`, long("expect-pcr1")],
    [`expect-pcr2=${HEX.slice(1)}`, long("expect-pcr2")],
    [`expect-pcr8=${HEX.slice(1)}g`, long("expect-pcr8")],
    [`expect-pcr0=0x${HEX.slice(2)}`, long("expect-pcr0")],
    ["expect-pcr0=", long("expect-pcr0")],
    [`expect-pcr3=${HEX}`, "Property 'nitro-accel.expect-pcr3' not found"],
    ["measure=maybe", "Parameter 'measure' expects 'on' or 'off'"],
    ["nitro,measure", "Expected '=' after parameter 'measure'"],
    ["measure=on,bogus=1", "Property 'nitro-accel.bogus' not found"],
    ["kvm,measure=on", "an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default"],
  ])("-accel %s is refused", (words, why) => {
    const failure = userErrorOf(() => asked(words));
    expect(failure.why).toBe(why);
    expect(failure.what).toStartWith("-accel ");
  });

  test("-accel given twice is refused here too", () => {
    const words = ["-kernel", "k", "-accel", "nitro", "-accel", "measure=on"];
    expect(userErrorOf(() => launch(words)).what).toBe("-accel measure=on");
  });
});

describe("memory as an object", () => {
  const object = (more: string) =>
    `-object memory-backend-memfd,id=m,size=128M${more} -machine memory-backend=m`;

  test.each([
    ["", { pageBytes: undefined, policy: "default", hostNodes: [] }],
    [",hugetlb=on,share=on,prealloc=on,seal=on,merge=off,dump=off,reserve=on", { pageBytes: undefined }],
    [",hugetlbsize=2M", { pageBytes: 2 * MIB }],
    [",hugetlbsize=1G", { pageBytes: 1024 * MIB }],
    [",policy=bind,host-nodes=0-2", { policy: "bind", hostNodes: [0, 1, 2] }],
    [",policy=interleave,host-nodes=0,host-nodes=3", { policy: "interleave", hostNodes: [0, 3] }],
  ])("size=128M%s", (words, expected) => {
    const options = more(object(words));
    expect(options.memoryBackend).toMatchObject({ id: "m", ...expected } as Record<string, unknown>);
    expect(options.memoryBytes?.value).toBe(128 * MIB);
  });

  test("is read as JSON too, and may repeat the size of -m", () => {
    const json =
      '{"qom-type":"memory-backend-memfd","id":"m","size":134217728,"hugetlb":true,"host-nodes":[1],"policy":"bind"}';
    const options = launch(["-kernel", "k", "-m", "128M", "-object", json, "-machine", "memory-backend=m"]);
    expect(options.memoryBackend).toMatchObject({ policy: "bind", hostNodes: [1] });
  });

  test.each([
    [
      object(",hugetlb=off"),
      "Parameter 'hugetlb' must be on: an enclave's memory is huge pages and nothing else",
    ],
    [
      object(",share=off"),
      "Parameter 'share' must be on: the memory is donated as a mapping of a shared file",
    ],
    [
      object(",prealloc=off"),
      "Parameter 'prealloc' must be on: the driver accepts only memory that is allocated",
    ],
    [object(",hugetlbsize=64k"), "Parameter 'hugetlbsize' must be 2M or 1G"],
    [object(",hugetlbsize=32M"), "Parameter 'hugetlbsize' must be 2M or 1G"],
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
  ])("%s is refused", (words, why) => {
    expect(userErrorOf(() => more(words)).why).toContain(why);
  });
});

describe("the process", () => {
  test.each([
    ["-daemonize", { daemonize: true }],
    [
      "-sandbox on,obsolete=deny,elevateprivileges=children,spawn=deny,resourcecontrol=deny",
      { sandbox: true },
    ],
    ["-name a,process=b", { processName: "b" }],
    ["-run-with exit-with-parent=on", { exitWithParent: true }],
    ["-run-with chroot=/x", { chroot: { value: "/x", typed: "-run-with chroot=/x" } }],
    ["-run-with user=bob", { user: { value: { name: "bob" }, typed: "-run-with user=bob" } }],
    ["-run-with user=7", { user: { value: { uid: 7 }, typed: "-run-with user=7" } }],
    ["-run-with user=7:8", { user: { value: { uid: 7, gid: 8 }, typed: "-run-with user=7:8" } }],
  ])("%s", (words, expected) => {
    expect(more(words).process).toEqual({ ...ordinary, ...expected } as LaunchOptions["process"]);
  });

  test("is an ordinary one where nothing is asked of it", () => {
    expect(more("-sandbox off -run-with exit-with-parent=off,async-teardown=off").process).toBeUndefined();
  });

  test("a daemon's console goes nowhere unless told otherwise", () => {
    const backendOf = (words: string) => more(words).chardevs.map(({ backend }) => backend);
    expect(backendOf("-daemonize")).toEqual([{ kind: "null" }]);
    expect(backendOf("-daemonize -serial file:c")).toMatchObject([{ kind: "file", path: "c" }]);
    expect(more("-daemonize -nodefaults").serial.value).toBeUndefined();
  });

  test.each([
    ["-daemonize -serial stdio", "cannot use stdio with -daemonize"],
    ["-daemonize -nographic", "cannot be used with -daemonize"],
    ["-daemonize -run-with exit-with-parent=on", "exit-with-parent=on: a daemon's parent exits at once"],
    ["-run-with foo=1", "Invalid parameter 'foo'"],
    ["-run-with user=4294967295", "Parameter 'user' expects ids below 4294967295"],
    ["-run-with user=1:4294967296", "Parameter 'user' expects ids below 4294967295"],
    ["-run-with user=a/b", "doesn't exist (and is not <uid>:<gid>)"],
    [
      "-run-with async-teardown=on",
      "Parameter 'async-teardown' must be off: the driver returns an enclave's memory",
    ],
    ["-sandbox maybe", "Parameter 'enable' expects 'on' or 'off'"],
    ["-sandbox on,spawn=x", "invalid argument for spawn"],
    [
      "-sandbox on,spawn=allow",
      "Parameter 'spawn' must be deny: nitro's sandbox allows only the system calls that it needs",
    ],
    ["-uuid abc", "failed to parse UUID string: wrong format"],
    ["-msg foo=on", "Invalid parameter 'foo'"],
  ])("%s is refused", (words, why) => {
    expect(userErrorOf(() => more(words)).why).toContain(why);
  });

  test("-runas and -chroot point at -run-with", () => {
    expect(userErrorOf(() => launch(["-runas", "x"])).hint).toBe(
      "-run-with user=NAME or -run-with user=UID:GID",
    );
    expect(userErrorOf(() => launch(["-chroot", "x"])).hint).toBe("-run-with chroot=DIR");
  });
});

describe("messages", () => {
  test("-uuid is kept in small letters, -S and -no-shutdown are told", () => {
    const options = more("-uuid 0B0C0D0E-0000-1111-2222-ABCDEFABCDEF -S -no-shutdown");
    expect(options).toMatchObject({
      uuid: "0b0c0d0e-0000-1111-2222-abcdefabcdef",
      paused: true,
      staysAfterEnd: true,
    });
  });

  test.each([
    ["-msg timestamp=on", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z $/],
    ["-msg timestamp", /^\d{4}.*Z $/],
    ["-msg guest-name=on -name web", /^web $/],
    ["-msg guest-name=on", /^$/],
    ["-msg timestamp=on,guest-name=on -name web", /^\d{4}.*Z web $/],
    ["-msg timestamp=off", /^$/],
  ])("%s", (words, prefix) => {
    expect(messagePrefix(more(words))).toMatch(prefix);
  });
});

describe("-readconfig", () => {
  const config = (text: string, ...words: string[]) => launch(["-readconfig", "f", ...words], { f: text });

  test("its groups are options at that place", () => {
    const options = config(
      '# all\n[machine]\n  type = "nitro"\n  kernel = "k"\n  memory-backend = "m"\n[accel]\naccel = "nitro"\ndebug-mode = "on"\n' +
        '[object "m"]\nqom-type = "memory-backend-memfd"\nsize = "256M"\n[smp-opts]\ncpus = "2"\n[name]\nguest = "a,b"\n' +
        '[sandbox]\nenable = "on"\n[run-with]\nuser = "1:1"\n',
      "-smp",
      "4",
    );
    expect(options).toMatchObject({
      kernel: { value: "k" },
      debugMode: true,
      name: "a,b",
      vcpus: { value: 4 },
    });
    expect(options.memoryBytes?.value).toBe(256 * MIB);
    expect(options.process).toMatchObject({ sandbox: true, user: { value: { uid: 1, gid: 1 } } });
  });

  test.each([
    ['[nosuch]\na = "1"', "There is no option group 'nosuch'"],
    ['[memory "x"]\nsize = "1"', "Invalid parameter 'id'"],
    ['x = "1"', "no group defined"],
    ["[machine]\ntype = nitro", "parse error"],
    ["[machine", "parse error"],
    ['[drive "d"]\nfile = "x"', "an enclave has no disks"],
    ['[machine]\nkernel = "k"\nfoo = "b"', "Property 'nitro-machine.foo' not found"],
  ])("%p is refused", (text, why) => {
    expect(userErrorOf(() => config(text)).why).toBe(why);
  });
});
