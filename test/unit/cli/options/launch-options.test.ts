import { describe, expect, test } from "bun:test";
import type { Backend, ChardevSpec } from "../../../../src/chardev/chardev.ts";
import { readChardev } from "../../../../src/cli/options/chardev.ts";
import { commandLineOptions } from "../../../../src/cli/options/describe.ts";
import type { LaunchOptions } from "../../../../src/launch/options.ts";
import { userErrorOf } from "../../../support/error-of.ts";
import { parseLaunch } from "./parse-launch.ts";

/** The launch of `nitro -kernel k` with these arguments. */
function launch(...args: string[]): LaunchOptions {
  return parseLaunch(["-kernel", "k", ...args]);
}

/** The device of -serial. */
function device(typed: string, backend: Backend): ChardevSpec {
  return { label: "serial0", typed, backend, mux: false, log: undefined };
}

/** A console on that backend. */
function serial(typed: string, backend: Backend): Partial<LaunchOptions> {
  return { serial: { value: "serial0", typed }, chardevs: [device(typed, backend)] };
}

function noSerial(typed: string): Partial<LaunchOptions> {
  return { serial: { value: undefined, typed }, chardevs: [] };
}

describe("-kernel only", () => {
  test("defaults: a launch with -kernel only has the default of every option", () => {
    expect(launch()).toEqual({
      debugMode: false,
      enclaveCid: 0n,
      heartbeat: { policy: "auto", timeoutMs: undefined, waitMs: undefined },
      memoryBytes: undefined,
      vcpus: undefined,
      kernel: { value: "k", typed: "-kernel k" },
      initrd: undefined,
      ramdisks: [],
      anyKernel: false,
      measure: undefined,
      cpuIds: undefined,
      configFiles: [],
      commandLine: undefined,
      serial: { value: "serial0", typed: "-serial stdio" },
      chardevs: [device("-serial stdio", { kind: "stdio", signal: true })],
      monitors: [],
      escapeByte: undefined,
      addedFds: [],
      readChardev,
      commandLineOptions,
      pidFile: undefined,
      name: undefined,
      uuid: undefined,
      paused: false,
      staysAfterEnd: false,
      memoryBackend: undefined,
      process: undefined,
      messages: undefined,
      trace: new Set(),
      traceFile: undefined,
    });
  });
});

const MIB = 1024 * 1024;

describe("options", () => {
  test.each([
    ["-accel nitro", {}],
    ["-accel nitro,debug-mode=on", { debugMode: true }],
    ["-accel nitro,debug-mode=off", { debugMode: false }],
    ["-accel debug-mode=yes", { debugMode: true }],
    ["-accel nitro,debug-mode", { debugMode: true }],
    ["-accel nitro,debug-mode=on,nodebug-mode", { debugMode: false }],
    ["-accel nitro,enclave-cid=16", { enclaveCid: 16n }],
    ["-accel nitro,enclave-cid=0x10", { enclaveCid: 16n }],
    ["-accel nitro,enclave-cid=4294967294", { enclaveCid: 0xfffffffen }],
    ["-accel nitro,debug-mode=on,enclave-cid=4294957294", { debugMode: true, enclaveCid: 4294957294n }],
    ["-accel nitro,enclave-cid=0", { enclaveCid: 0n }],
    ["-accel nitro,enclave-cid=4,enclave-cid=5", { enclaveCid: 5n }],
    ["-accel nitro,heartbeat=auto", {}],
    ["-accel nitro,heartbeat=none", { heartbeat: { policy: "none", timeoutMs: undefined } }],
    ["-accel nitro,heartbeat=require", { heartbeat: { policy: "require", timeoutMs: undefined } }],
    [
      "-accel nitro,heartbeat=require,heartbeat-timeout=1",
      { heartbeat: { policy: "require", timeoutMs: 1000 } },
    ],
    ["-accel heartbeat-timeout=86400", { heartbeat: { policy: "auto", timeoutMs: 86_400_000 } }],
    ["-accel heartbeat-wait=1", { heartbeat: { policy: "auto", waitMs: 1000 } }],
    ["-accel nitro,heartbeat-wait=86400", { heartbeat: { policy: "auto", waitMs: 86_400_000 } }],
    ["-M nitro", {}],
    ["-machine type=nitro,accel=nitro", {}],
    ["-cpu host", {}],
    ["-display none", {}],
    ["-no-user-config", {}],
    ["-no-reboot", {}],
    ["-m 512", { memoryBytes: { value: 512 * MIB, typed: "-m 512" } }],
    ["-m 1G", { memoryBytes: { value: 1024 * MIB, typed: "-m 1G" } }],
    ["-m size=256M", { memoryBytes: { value: 256 * MIB, typed: "-m size=256M" } }],
    ["--m 64 -m 128", { memoryBytes: { value: 128 * MIB, typed: "-m 128" } }],
    ["-m 0", { memoryBytes: undefined }],
    ["-smp 2", { vcpus: { value: 2, typed: "-smp 2" } }],
    ["-smp cpus=4", { vcpus: { value: 4, typed: "-smp cpus=4" } }],
    ["-smp 4,maxcpus=4", { vcpus: { value: 4, typed: "-smp 4,maxcpus=4" } }],
    [
      "-smp 4,sockets=1,cores=2,threads=2",
      { vcpus: { value: 4, typed: "-smp 4,sockets=1,cores=2,threads=2" } },
    ],
    ["-smp cores=2,threads=2", { vcpus: { value: 4, typed: "-smp cores=2,threads=2" } }],
    ["-initrd i", { initrd: { value: "i", typed: "-initrd i" } }],
    ["-initrd a --initrd b", { initrd: { value: "b", typed: "--initrd b" } }],
    ["-append quiet", { commandLine: { value: "quiet", typed: "-append quiet" } }],
    ["-serial stdio", {}],
    ["-serial null", serial("-serial null", { kind: "null" })],
    ["-serial none", noSerial("-serial none")],
    [
      "-serial file:/tmp/a,b",
      serial("-serial file:/tmp/a,b", { kind: "file", path: "/tmp/a,b", append: false }),
    ],
    ["-nodefaults", noSerial("-nodefaults")],
    ["-nodefaults -serial stdio", {}],
    ["-name web", { name: "web" }],
    ["-name guest=web", { name: "web" }],
    ["-pidfile p", { pidFile: { value: "p", typed: "-pidfile p" } }],
    ["-d syscalls", { trace: new Set(["syscalls"]) }],
    ["-d syscalls,vsock", { trace: new Set(["syscalls", "vsock"]) }],
    ["-d vsock -d syscalls", { trace: new Set(["syscalls"]) }],
    ["-D t", { traceFile: { value: "t", typed: "-D t" } }],
    ["-kernel other", { kernel: { value: "other", typed: "-kernel other" } }],
  ])("option: %s", (args, expected) => {
    expect(launch(...args.split(" "))).toEqual({ ...launch(), ...expected } as LaunchOptions);
  });

  test("-append: accepts an empty command line, which differs from none", () => {
    expect(launch("-append", "").commandLine?.value).toBe("");
  });

  test("-append: accepts at most 2047 bytes of UTF-8", () => {
    expect(launch("-append", "x".repeat(2047)).commandLine?.value.length).toBe(2047);
    expect(userErrorOf(() => launch("-append", "ä".repeat(1024))).why).toBe(
      "it has 2048 bytes; a kernel accepts a command line of at most 2047",
    );
  });
});

const TOPOLOGY = "Invalid CPU topology: CPU topology parameters must be greater than zero";
const SIZE = "Parameter 'size' expects a size: a number with k, M, G, T, P or E, in MiB without one";
const CID_TAKEN = "CIDs 1, 2 and 3 are reserved: use 4 to 4294967294, or 0 to have one chosen";
const CID_WIDE = "a CID has 32 bits: use 4 to 4294967294, or 0 to have one chosen";
const CID_CONSOLE =
  "the console of CID 4294957295 would be at port 10000 + 4294957295, and the last port is 4294967294";
const CID = "Parameter 'enclave-cid' expects uint64";
const TIMEOUT = "Parameter 'heartbeat-timeout' expects seconds, 1 to 86400";
const WAIT = "Parameter 'heartbeat-wait' expects seconds, 1 to 86400";
const DEBUG = "Parameter 'debug-mode' expects 'on' or 'off'";
const ACCEL = "an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default";
const MACHINE = "unsupported machine type; use -M nitro, which is the default";
const FILE = "expects the name of a file";
const notDriver = (name: string) => `'${name}' is not a valid char driver`;

/** Arguments after `-kernel k`, separated by spaces; why they are refused; what is named, if not all of them. */
const BAD: readonly (readonly [args: string, why: string, what?: string])[] = [
  ["-accel kvm", ACCEL],
  ["-accel tcg,debug-mode=on", ACCEL],
  ["-accel nitro,bogus=1", "Property 'nitro-accel.bogus' not found"],
  ["-accel nitro,toString=1", "Property 'nitro-accel.toString' not found"],
  ["-accel nitro,debug-mode=1", DEBUG],
  ["-accel nitro,debug-mode=", DEBUG],
  ["-accel nitro,debug-mode=ON", DEBUG],
  ["-accel nitro,enclave-cid=abc", CID],
  ["-accel nitro,enclave-cid=-1", CID],
  ["-accel nitro,enclave-cid=", CID],
  ["-accel nitro,enclave-cid=18446744073709551616", CID],
  ["-accel nitro,enclave-cid=1", CID_TAKEN],
  ["-accel nitro,enclave-cid=2", CID_TAKEN],
  ["-accel nitro,enclave-cid=3", CID_TAKEN],
  ["-accel nitro,enclave-cid=0xffffffff", CID_WIDE],
  ["-accel nitro,enclave-cid=4294967296", CID_WIDE],
  ["-accel nitro,debug-mode=on,enclave-cid=4294957295", CID_CONSOLE],
  [
    "-accel nitro,heartbeat=maybe",
    "Parameter 'heartbeat' does not accept value 'maybe': use auto, require, none",
  ],
  ["-accel nitro,heartbeat=", "Parameter 'heartbeat' does not accept value '': use auto, require, none"],
  ["-accel nitro,heartbeat-timeout=0", TIMEOUT],
  ["-accel nitro,heartbeat-timeout=-1", TIMEOUT],
  ["-accel nitro,heartbeat-timeout=1.5", TIMEOUT],
  ["-accel nitro,heartbeat-timeout=5s", TIMEOUT],
  ["-accel nitro,heartbeat-timeout=", TIMEOUT],
  ["-accel nitro,heartbeat-timeout=86401", TIMEOUT],
  ["-accel nitro,heartbeat-timeout=18446744073709551616", TIMEOUT],
  [
    "-accel nitro,heartbeat-timeout=5,heartbeat=none",
    "heartbeat=none does not wait for a heartbeat, so heartbeat-timeout has no effect",
  ],
  ["-accel nitro,heartbeat-wait=0", WAIT],
  ["-accel nitro,heartbeat-wait=5s", WAIT],
  ["-accel nitro,heartbeat-wait=86401", WAIT],
  [
    "-accel nitro,heartbeat-wait=5,heartbeat=none",
    "heartbeat=none does not wait for a heartbeat, so heartbeat-wait has no effect",
  ],
  ["-accel nitro,bogus", "Property 'nitro-accel.bogus' not found"],
  ["-accel nitro,nobogus", "Property 'nitro-accel.bogus' not found"],
  ["-accel nitro,=1", "Invalid parameter ''"],
  ["-accel ,", "Invalid parameter ''"],
  [
    "-accel nitro -accel nitro",
    "-accel nitro comes before it; QEMU tries a second accelerator if the first is missing, nitro has one",
    "-accel nitro",
  ],
  ["-M q35", MACHINE],
  ["-machine pc", MACHINE],
  ["--machine type=virt", MACHINE],
  [
    "-M nitro-enclave",
    "that is QEMU's machine that emulates an enclave on any host: run it with qemu-system-x86_64 -M nitro-enclave; " +
      "nitro launches real ones with -M nitro",
  ],
  ["-M nitro,accel=kvm", "an enclave runs on the Nitro hypervisor: use accel=nitro, which is the default"],
  ["-M nitro,bogus=1", "Property 'nitro-machine.bogus' not found"],
  ["-M nitro,bogus", "Expected '=' after parameter 'bogus'"],
  ["-cpu max", "an enclave's CPUs are the host's own: use -cpu host, or leave it out"],
  ["-cpu host,+avx", "an enclave's CPUs are the host's own: use -cpu host, or leave it out"],
  ["-display gtk", "an enclave has no display: use -display none, or leave it out"],
  ["-m abc", SIZE],
  ["-m 1.0000000001M", SIZE],
  ["-m -5", SIZE],
  ["-m 8E", SIZE],
  ["-m 1MB", SIZE],
  ["-m size=", SIZE],
  ["-m 512M,size=x", SIZE],
  ["-m 512M,bogus=1", "Property 'memory.bogus' not found"],
  ["-m 1G -m x", SIZE, "-m x"],
  ["-smp 0", TOPOLOGY],
  ["-smp cores=0", TOPOLOGY],
  ["-smp 2,threads=0", TOPOLOGY],
  ["-smp two", "Parameter 'cpus' expects a whole number, such as 2"],
  ["-smp -2", "Parameter 'cpus' expects a whole number, such as 2"],
  ["-smp 2.5", "Parameter 'cpus' expects a whole number, such as 2"],
  ["-smp 2,cores=x", "Parameter 'cores' expects a whole number, such as 2"],
  ["-smp 4097", "Parameter 'cpus' must be at most 4096"],
  ["-smp 2,bogus=1", "Property 'smp.bogus' not found"],
  ["-smp 8,sockets=1,cores=2,threads=2", "Invalid CPU topology: sockets × cores × threads is 4, cpus is 8"],
  ["-smp 2,maxcpus=4", "an enclave's CPUs cannot be added later: maxcpus must equal cpus"],
  ["-smp maxcpus=2", "the number of CPUs is missing"],
  ["-serial bogus", notDriver("bogus")],
  ["-serial FILE:x", notDriver("FILE:x")],
  ["-serial tcp:1234", "'1234' is not HOST:PORT"],
  ["-serial tcp:example.org:1", "'example.org': host names are not resolved; give a numeric address"],
  ["-serial unix:s,bogus=1", "Invalid parameter 'bogus'"],
  ["-serial chardev:c", 'chardev "c" not found'],
  ["-chardev null", "chardev: no id specified"],
  ["-chardev foo,id=x", "'foo' is not a valid char driver name"],
  ["-chardev null,id=1x", "Parameter 'id' expects an identifier"],
  ["-chardev file,id=x", "chardev: file: no filename given"],
  ["-chardev ringbuf,id=x,size=1000", "size of ringbuf chardev must be power of two"],
  ["-mon c", 'chardev "c" not found'],
  ["-serial file:", `Parameter 'path' ${FILE}`],
  ["-serial stdio -serial null", "an enclave has one serial port, and -serial stdio uses it", "-serial null"],
  ["-d bogus", "there is no trace item 'bogus'"],
  ["-d syscalls,", "there is no trace item ''"],
  ["-d vsock,help", "there is no trace item 'help'"],
  ["-d toString", "there is no trace item 'toString'"],
  ["-d constructor", "there is no trace item 'constructor'"],
  ["-name a,bogus=1", "Invalid parameter 'bogus'"],
  ["-name guest=", "a name has 1 to 128 printable ASCII characters"],
  ["-name na\u001bme", "a name has 1 to 128 printable ASCII characters"],
  [`-name ${"n".repeat(129)}`, "a name has 1 to 128 printable ASCII characters"],
  ["-initrd  ", FILE, "-initrd"],
  ["-pidfile  ", FILE, "-pidfile"],
  ["-D  ", FILE, "-D"],
  ["-initrd a\0b", FILE],
  ["-append a\0b", "a command line cannot contain a NUL byte"],
  [`-append ${"x".repeat(2048)}`, "it has 2048 bytes; a kernel accepts a command line of at most 2047"],
  ["-smp 4,cores=3", "Invalid CPU topology: sockets × cores × threads is 3, cpus is 4"],
];

describe("refused options", () => {
  // A message repeats at most 100 characters of an argument.
  const cut = (text: string) => text.replace(/(x{100}|n{100})[xn]+$/, "$1…");
  test.each(BAD.map(([args, why, what]) => [args, why, what ?? cut(args)] as const))(
    "refused: %p",
    (args, why, what) => {
      const list = args.split(" ").slice(0, args.endsWith("  ") ? 2 : undefined);
      const error = userErrorOf(() => launch(...list));
      expect([error.what, error.why]).toEqual([what, why]);
    },
  );

  test("refused: a launch without an image", () => {
    expect(userErrorOf(() => parseLaunch(["-m", "1G"]))).toEqual({
      what: "no image given; usage: nitro -kernel app.eif",
      why: "",
      hint: undefined,
    });
  });

  test.each([
    ["-accel nitro,bogus=1", "nitro -accel nitro,help lists the properties"],
    ["-M nitro,bogus=1", "nitro -machine nitro,help lists the properties"],
    ["-smp maxcpus=2", "use -smp 2"],
    ["-smp 2,maxcpus=4", "use -smp 2"],
    ["-serial tcp:1", "use tcp:127.0.0.1:4444,server=on,wait=off"],
    ["-monitor stdio -serial stdio", "use -serial mon:stdio to share it between console and monitor"],
    ["-d bogus", "use syscalls, vsock"],
  ])("%s: the hint is what to type", (args, hint) => {
    expect(userErrorOf(() => launch(...args.split(" "))).hint).toBe(hint);
  });

  test("refused options: the first faulty occurrence of several is named", () => {
    expect(userErrorOf(() => launch("-initrd", "", "-initrd", "b")).what).toBe("-initrd");
  });

  test("refused options: a property that an enclave cannot have is refused with a reason, not as unknown", () => {
    for (const args of ["-m 1G,slots=2,maxmem=4G", "-smp 2,dies=2"]) {
      expect(userErrorOf(() => launch(...args.split(" "))).why).not.toContain("not found");
    }
  });
});
