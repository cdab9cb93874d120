/** Refusals of the driver and of the kernel: each is reported by name with a hint, the status is 1, and nothing is left. */
import { afterAll, describe, expect, test } from "bun:test";
import type { ParentResult } from "../../emulated-parent/run.ts";
import type { Problem, ScenarioInput } from "../../emulated-parent/scenario.ts";
import { eifOf, fakeKernel } from "./images.ts";
import {
  CAUSE_UNKNOWN,
  entries,
  exitLine,
  expectNothingLeft,
  HELLO,
  launch,
  launchAs,
  lines,
  NITRO,
  notHere,
  shellWords,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** include/uapi/linux/nitro_enclaves.h. */
const NE_ERRORS: Record<number, string> = {
  256: "NE_ERR_VCPU_ALREADY_USED",
  257: "NE_ERR_VCPU_NOT_IN_CPU_POOL",
  258: "NE_ERR_VCPU_INVALID_CPU_CORE",
  259: "NE_ERR_INVALID_MEM_REGION_SIZE",
  260: "NE_ERR_INVALID_MEM_REGION_ADDR",
  261: "NE_ERR_UNALIGNED_MEM_REGION_ADDR",
  262: "NE_ERR_MEM_REGION_ALREADY_USED",
  263: "NE_ERR_MEM_NOT_HUGE_PAGE",
  264: "NE_ERR_MEM_DIFFERENT_NUMA_NODE",
  265: "NE_ERR_MEM_MAX_REGIONS",
  266: "NE_ERR_NO_MEM_REGIONS_ADDED",
  267: "NE_ERR_NO_VCPUS_ADDED",
  268: "NE_ERR_ENCLAVE_MEM_MIN_SIZE",
  269: "NE_ERR_FULL_CORES_NOT_USED",
  270: "NE_ERR_NOT_IN_INIT_STATE",
  271: "NE_ERR_INVALID_VCPU",
  272: "NE_ERR_NO_CPUS_AVAIL_IN_POOL",
  273: "NE_ERR_INVALID_PAGE_SIZE",
  274: "NE_ERR_INVALID_FLAG_VALUE",
  275: "NE_ERR_INVALID_ENCLAVE_CID",
};
const IOCTLS = [
  "NE_CREATE_VM",
  "NE_GET_IMAGE_LOAD_INFO",
  "NE_SET_USER_MEMORY_REGION",
  "NE_ADD_VCPU",
  "NE_START_ENCLAVE",
];

/** Without a topology the modules and the PCI devices are this machine's, and decide which fix is printed. */
const DEVICE_FIX = /modprobe nitro_enclaves|--enclave-options Enabled=true|another kernel|install -y/;

/**
 * Asserts that a launch is refused: status 1, what and why on the first line, a hint on the second, and nothing else.
 */
function expectRefused(result: ParentResult, first: string | RegExp, hint: string | RegExp, lost = 0): void {
  const [message = "", then = "", ...more] = lines(result.stderr);
  expect(message).toMatch(first);
  expect(then).toStartWith("hint: ");
  expect(then).toMatch(hint);
  expect(more).toEqual([]);
  expect(result.stdout).toBe("");
  expect(result.status).toBe(1);
  expectNothingLeft(result, lost);
}

describe.concurrent.skipIf(notHere !== undefined)("errors after the start, and of the driver", () => {
  const behindStart: { call: string; errno: string; nth?: number; liveMs: number; message: RegExp }[] = [
    {
      call: "accept4",
      errno: "EMFILE",
      liveMs: 600,
      message: /^nitro: heartbeat: accept4 .*EMFILE.*; trying again, /,
    },
    {
      call: "socket",
      errno: "EMFILE",
      nth: 2,
      liveMs: 600,
      message: /^nitro: console: cannot connect \(.*EMFILE.*\); /,
    },
    // nitro retries for five seconds, because the console may accept connections a moment after the start.
    {
      call: "connect",
      errno: "ECONNRESET",
      liveMs: 8000,
      message: /^nitro: console: cannot connect \(CID 0 .*ECONNRESET.*\); /,
    },
  ];
  for (const problem of behindStart) {
    test(`${problem.errno} of ${problem.call} after the start is reported, and the enclave keeps running`, async () => {
      const { message, liveMs, ...rest } = problem;
      const enclave = { console: ["hello"], noHeartbeatFatal: false, liveMs };
      const result = await launchAs({ command: here.debug(), scenario: { faults: [rest], enclave } });
      const [started, why = "", ended] = lines(result.stderr);
      expect(started).toContain("enclave started");
      expect(why).toMatch(message);
      expect(why).toContain("the enclave keeps running");
      expect(ended).toContain("the enclave (CID 16) exited ");
      expect(entries(result, "enclave exited")[0]).toMatchObject({ reason: "liveMs elapsed" });
      expectNothingLeft(result);
    });
  }

  /** Each fails with every second call, from the first on: what is not tried again is lost. */
  const TRANSIENT: readonly [call: string, errno: string][] = [
    ["poll", "ENOMEM"],
    ["accept4", "ENOMEM"],
    ["accept4", "EMFILE"],
    ["accept4", "ENOBUFS"],
    ["sendto", "EAGAIN"],
    ["sendto", "EINTR"],
    ["sendto", "ENOBUFS"],
    ["pread64", "EINTR"],
  ];
  test.each(TRANSIENT)(
    "transient errno: %s with %s costs neither the enclave nor its heartbeat nor its console",
    async (call, errno) => {
      // The loader does not repeat it.
      const of = call === "pread64" ? ["-P", here.eif] : [];
      const inject = [...of, "-e", `trace=${call}`, "-e", `inject=${call}:error=${errno}:when=1+2`];
      const strace = ["strace", "-f", "-o", here.path(`strace-${call}-${errno}`), ...inject];
      const options = ["-accel", "nitro,debug-mode=on,heartbeat=require", "-serial", "stdio"];
      const words = here.production(...options);
      const enclave = { console: ["hello", "from within"], heartbeatMs: 200, liveMs: 500 };
      const result = await launchAs({ command: [...strace, ...words], scenario: { enclave } });
      expect(here.text(`strace-${call}-${errno}`)).toContain("(INJECTED)");
      expect(result.report.heartbeats).toEqual([{ cid: 16, byte: 0xb7, outcome: "answered" }]);
      expect(result.stdout).toBe("hello\nfrom within\n");
      const [started, ...more] = lines(result.stderr);
      expect(started).toContain("enclave started");
      const told = /^nitro: heartbeat: accept4 vsock port 9000: .*; trying again, the enclave keeps running$/;
      expect(more.filter((line) => !told.test(line))).toHaveLength(1);
      expect(more.at(-1)).toMatch(exitLine(CAUSE_UNKNOWN.debug));
      expect(result.status).toBe(5);
      expectNothingLeft(result);
    },
  );

  for (const ioctl of IOCTLS) {
    test(`${ioctl}: each error is reported by name, with a hint`, async () => {
      // One parent instance and one launch for each error: the i-th launch gets the fault of the i-th call.
      const codes = Object.keys(NE_ERRORS).map(Number);
      const perLaunch = ioctl === "NE_ADD_VCPU" ? 2 : 1;
      // The second vCPU is refused, so that something has been added before.
      const faults: Problem[] = codes.map((errno, i) => ({
        call: ioctl,
        errno,
        nth: perLaunch * (i + 1),
      }));
      const script = `for code in ${codes.join(" ")}; do echo "error $code" >&2; ${shellWords(here.debug())}; echo "status $?" >&2; done`;
      const result = await launch(["sh", "-c", script], { faults, checkWrites: false });
      const blocks = result.stderr.split(/^error (?=\d)/m).slice(1);
      expect(blocks).toHaveLength(codes.length);
      blocks.forEach((block, i) => {
        const code = codes[i] ?? 0;
        const [number, message, hint, status, ...more] = lines(block);
        expect(number).toBe(String(code));
        expect(message).toMatch(
          new RegExp(`^nitro: ${ioctl} failed with ${NE_ERRORS[code] ?? "?"} \\(${code}\\): .{10,}`),
        );
        expect(hint).toMatch(/^hint: .{10,}/);
        expect(status).toBe("status 1");
        expect(more).toEqual([]);
      });
      expectNothingLeft(result);
    });
  }
});

describe.concurrent.skipIf(notHere !== undefined)("the driver's errors", () => {
  test("driver errors: an unknown number is printed as it is", async () => {
    const result = await launch(here.debug(), { faults: [{ call: "NE_ADD_VCPU", errno: 299 }] });
    expectRefused(result, /^nitro: NE_ADD_VCPU.*errno 299/, "dmesg");
  });

  const genuine: { name: string; args?: string[]; scenario: ScenarioInput; message: RegExp; hint: RegExp }[] =
    [
      {
        name: "272 of an empty pool",
        scenario: { pool: "" },
        message: /NE_CREATE_VM failed with NE_ERR_NO_CPUS_AVAIL_IN_POOL \(272\): .*the CPU pool is empty$/,
        hint: /^hint: nitro pool --cpus 2$/,
      },
      {
        name: "272 of -smp beyond the pool",
        args: ["-smp", "10"],
        scenario: {},
        message:
          /NE_ADD_VCPU failed with .* \(272\) after 8 of 10 vCPUs \(-smp 10\): .*the CPU pool 1-4,9-12 has 8 \(4 cores\)$/,
        hint: /^hint: nitro pool --cpus 10$/,
      },
      {
        name: "265 of scattered huge pages",
        scenario: { maxRegions: 31, regionBytes: 2 ** 21 },
        message:
          /NE_SET_USER_MEMORY_REGION failed with NE_ERR_MEM_MAX_REGIONS \(265\): 32 huge pages of 2 MiB \(-m 64M\) are fragmented/,
        hint: /-m/,
      },
      {
        name: "EBUSY of a CID that is taken",
        args: ["-accel", "nitro,debug-mode=on,enclave-cid=20"],
        scenario: { takenCids: [20] },
        message:
          /the hypervisor refused to start the enclave \(EBUSY\): image not accepted.*CID 20 is in use/,
        hint: /enclave-cid/,
      },
    ];
  for (const { name, args = [], scenario, message, hint } of genuine) {
    test(`driver errors: ${name} follows from the driver's own rules`, async () => {
      const result = await launch([NITRO, "-kernel", here.eif, "-m", "64M", ...args], scenario);
      expectRefused(result, message, hint);
    });
  }

  test("driver errors: 264 for a huge page on another node costs one page and is not retried", async () => {
    const result = await launch(here.debug(), { foreignNodePage: 5 });
    expectRefused(
      result,
      /NE_ERR_MEM_DIFFERENT_NUMA_NODE \(264\): the driver finds some of 32 huge pages/,
      /numactl/,
      1,
    );
    expect(entries(result, "NE_SET_USER_MEMORY_REGION")).toHaveLength(1);
    expect(result.report.hugePages.leaked).toBe(1);
  });

  const plain = [
    { call: "NE_START_ENCLAVE", errno: "EINVAL", message: /image not accepted/, hint: /dmesg/ },
    { call: "NE_START_ENCLAVE", errno: "ETIMEDOUT", message: /120 seconds/, hint: /reboot/ },
    { call: "NE_START_ENCLAVE", errno: "EIO", message: /device failed/, hint: /dmesg/ },
    { call: "NE_CREATE_VM", errno: "ENOMEM", message: /no memory left/, hint: /dmesg/ },
    { call: "NE_CREATE_VM", errno: "EMFILE", message: /too many open files/, hint: /ulimit -n/ },
    { call: "NE_CREATE_VM", errno: "ENOTTY", message: /not the Nitro Enclaves device/, hint: /modprobe/ },
    { call: "NE_SET_USER_MEMORY_REGION", errno: "EFAULT", message: /huge page/, hint: /meminfo/ },
    { call: "NE_ADD_VCPU", errno: "EINVAL", message: /EINVAL/, hint: /dmesg/ },
  ];
  for (const { call, errno, message, hint } of plain) {
    test(`${errno} of ${call} is reported with its cause`, async () => {
      const result = await launch(here.debug(), { faults: [{ call, errno }] });
      const subject = message.source.startsWith("image")
        ? "the hypervisor refused to start the enclave"
        : call;
      expect(lines(result.stderr)[0]).toMatch(new RegExp(`^nitro: ${subject}.* \\(${errno}\\)`));
      expectRefused(result, message, hint);
    });
  }
});

describe.concurrent.skipIf(notHere !== undefined)("the kernel's errors", () => {
  test("missing device: the hint says how to create it", async () => {
    const result = await launch(here.debug(), { device: false });
    expectRefused(
      result,
      /^nitro: \/dev\/nitro_enclaves: .*\(ENOENT\): .*(driver|device|module)/,
      DEVICE_FIX,
    );
    expect(entries(result, "bind")).toEqual([]);
  });

  test("missing vsock: the hint says which module to load", async () => {
    const result = await launch(here.debug(), { vsock: false });
    expectRefused(result, /no vsock \(AF_VSOCK\)/, /modprobe/);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
  });

  test("huge pages: a shortage is reported in numbers", async () => {
    const result = await launch(here.debug(), { hugePages: 20 });
    const message =
      /^nitro: -m 64M: not enough huge pages: need 64 MiB, 40 MiB free \(20 of 20 pages of 2 MiB\)$/;
    expectRefused(result, message, /echo 32 > \/sys\/kernel\/mm\/hugepages\/hugepages-2048kB\/nr_hugepages/);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
  });

  test("huge pages: a default size that does not fit is named as the default", async () => {
    const result = await launch([NITRO, "-kernel", here.eif], { hugePages: 63 });
    expectRefused(
      result,
      /-m 128M \(the default\): not enough huge pages: need 128 MiB, 126 MiB free \(63 of 63 /,
      /echo 64 > .*-m 126M/,
    );
  });

  const device = "openat:/dev/nitro_enclaves";
  const cases: { call: string; errno: string; message: RegExp; hint: RegExp }[] = [
    { call: device, errno: "EACCES", message: /\/dev\/nitro_enclaves: .*EACCES/, hint: /usermod -aG ne/ },
    { call: device, errno: "EPERM", message: /EPERM/, hint: /group/ },
    { call: device, errno: "ENODEV", message: /ENODEV/, hint: DEVICE_FIX },
    { call: device, errno: "ENXIO", message: /ENXIO/, hint: DEVICE_FIX },
    { call: device, errno: "EBUSY", message: /EBUSY/, hint: /dmesg/ },
    { call: device, errno: "EMFILE", message: /EMFILE/, hint: /ulimit -n/ },
    { call: device, errno: "ENFILE", message: /ENFILE/, hint: /ulimit -n/ },
    {
      call: "memfd_create",
      errno: "ENOSYS",
      message: /this kernel has no huge pages of that size/,
      hint: /hugepages/,
    },
    {
      call: "memfd_create",
      errno: "EINVAL",
      message: /this kernel has no huge pages of that size/,
      hint: /hugepages/,
    },
    {
      call: "memfd_create",
      errno: "ENODEV",
      message: /this kernel has no huge pages of that size/,
      hint: /hugepages/,
    },
    { call: "memfd_create", errno: "EMFILE", message: /memfd_create: .*EMFILE/, hint: /ulimit -n/ },
    { call: "memfd_create", errno: "EPERM", message: /memfd_create: .*EPERM/, hint: /container/ },
    { call: "ftruncate", errno: "EINVAL", message: /EINVAL/, hint: /./ },
    { call: "mmap", errno: "ENOMEM", message: /mmap: .*ENOMEM/, hint: /hugetlb/ },
    { call: "mmap", errno: "EPERM", message: /mmap: .*EPERM/, hint: /container/ },
    { call: "fallocate", errno: "ENOSPC", message: /fallocate: .*ENOSPC/, hint: /hugetlb/ },
    { call: "fallocate", errno: "ENOMEM", message: /fallocate: .*ENOMEM/, hint: /hugetlb/ },
    { call: "socket", errno: "EMFILE", message: /socket: .*EMFILE/, hint: /ulimit -n/ },
    { call: "socket", errno: "EPERM", message: /socket: .*EPERM/, hint: /container/ },
    { call: "bind", errno: "EACCES", message: /bind: .*EACCES/, hint: /container/ },
    { call: "bind", errno: "EADDRNOTAVAIL", message: /bind vsock port 9000: .*EADDRNOTAVAIL/, hint: /vsock/ },
    { call: "listen", errno: "EOPNOTSUPP", message: /listen vsock port 9000: .*EOPNOTSUPP/, hint: /vsock/ },
  ];
  for (const { call, errno, message, hint } of cases) {
    test(`${errno} of ${call} is reported with its cause`, async () => {
      const result = await launch(here.debug(), { faults: [{ call, errno }] });
      expectRefused(result, message, hint);
      expect(entries(result, "NE_START_ENCLAVE")).toEqual([]);
    });
  }

  test("fallocate: is restarted after EINTR", async () => {
    const faults = [{ call: "fallocate", errno: "EINTR", nth: 1 }];
    const result = await launch(here.debug(), { faults, enclave: HELLO });
    expect(result.stderr).toContain("nitro: enclave started: ");
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("images", () => {
  const kernel = { type: "kernel", bytes: fakeKernel(5000) } as const;
  const commandLine = { type: "cmdline", bytes: new Uint8Array(0) } as const;
  const metadata = { type: "metadata", bytes: new TextEncoder().encode("{}") } as const;
  const whole = eifOf([kernel, commandLine, metadata]);
  const damaged = whole.with(3000, (whole[3000] ?? 0) ^ 1);
  const cases = [
    { name: "damaged", bytes: damaged, message: /CRC-32 of the file is 0x[0-9a-f]{8}, its header says 0x/ },
    { name: "truncated", bytes: whole.subarray(0, 4000), message: /not a valid EIF/ },
    { name: "of another architecture", bytes: eifOf([kernel, commandLine, metadata], 1), message: /aarch64/ },
    {
      name: "without metadata",
      bytes: eifOf([kernel, commandLine]),
      message: /none of the 2 sections is a metadata \(type 5\)/,
    },
    { name: "empty", bytes: new Uint8Array(0), message: /the file is empty/ },
  ];
  for (const { name, bytes, message } of cases) {
    test(`image: one that is ${name} is refused before the host is used`, async () => {
      const result = await launch([NITRO, "-kernel", here.file(`${name}.eif`, bytes)], { device: false });
      expectRefused(result, message, /./);
      const asked = entries(result, "openat").filter(({ path }) => path === "/dev/nitro_enclaves");
      expect(asked).toEqual([]);
    });
  }
});
