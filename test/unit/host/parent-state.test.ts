import { describe, expect, test } from "bun:test";
import { coresInUse, enclavesText, vcpusFromArguments } from "../../../src/host/driver/enclaves.ts";
import { freeMemory } from "../../../src/host/memory/free-memory.ts";
import { isOlderThanDriver, missingModule, moduleState } from "../../../src/host/modules.ts";
import { problemError, shellQuote } from "../../../src/host/problem.ts";
import { fileSizeProblem, openFilesProblem } from "../../../src/host/process/limits.ts";
import { systemWith } from "../sys/fake-files.ts";

const OSRELEASE = "/proc/sys/kernel/osrelease";

describe("modules", () => {
  const kernel = (dep: string, builtin = "") =>
    systemWith({
      [OSRELEASE]: "6.1.0",
      "/lib/modules/6.1.0/modules.dep": dep,
      "/lib/modules/6.1.0/modules.builtin": builtin,
    });

  test.each([
    ["loadable", "kernel/drivers/virt/nitro_enclaves/nitro_enclaves.ko.xz: kernel/a.ko"],
    ["loadable", "extra/nitro-enclaves.ko:"],
    ["missing", "kernel/drivers/virt/nitro_enclaves_more.ko:"],
  ] as const)("%s by modules.dep", (state, dep) => {
    expect(moduleState(kernel(dep), "nitro_enclaves")).toBe(state);
  });

  test("built in, in the kernel, and where nothing tells", () => {
    expect(moduleState(kernel("", "kernel/net/vmw_vsock/vsock.ko"), "vsock")).toBe("loaded");
    expect(moduleState(systemWith({ "/sys/module/vsock/refcnt": 0 }), "vsock")).toBe("loaded");
    expect(moduleState(systemWith({ [OSRELEASE]: "6.1.0" }), "vsock")).toBe("unknown");
  });

  test.each([
    ["4.14.355-271.amzn2.x86_64", true],
    ["5.9.16", true],
    ["5.10.0", process.arch === "arm64"],
    ["5.16.0-rc1", false],
    ["6.1.141", false],
    ["10.0", false],
  ] as const)("a kernel %s is older than the driver: %s", (release, older) => {
    expect(isOlderThanDriver(release)).toBe(older);
  });

  test.each([
    ['ID="amzn"\nVERSION_ID="2023"', "6.1.0", "dnf upgrade -y kernel && reboot"],
    [
      'ID=rocky\nID_LIKE="rhel centos fedora"',
      "6.1.0",
      /^dnf install -y kernel-modules-extra-6\.1\.0 && modprobe x$/,
    ],
    ["ID=ubuntu\nID_LIKE=debian", "6.1.0", "apt-get install -y linux-modules-extra-6.1.0 && modprobe x"],
    ["ID=debian", "6.1.0", /^apt-get install -y linux-image-(amd64|arm64) && reboot$/],
    ["ID=arch", "6.1.0", undefined],
  ] as const)("%j brings one by its own packages", (release, kernelName, command) => {
    const problem = missingModule(systemWith({ [OSRELEASE]: kernelName, "/etc/os-release": release }), "x");
    expect(problem.why).toBe("the kernel 6.1.0 has no module x");
    if (command === undefined) expect(problem.advice).toContain("install the package");
    else expect(problem.command).toMatch(command);
  });
});

describe("enclaves by their launchers' words", () => {
  test.each([
    [["nitro", "-smp", "4"], "nitro", 4],
    [["nitro", "--smp", "cpus=6,cores=3"], "nitro", 6],
    [["nitro", "-smp", "sockets=1,cpus=2"], "nitro", 2],
    [["nitro", "-smp", "2", "-smp", "8"], "nitro", 8],
    [["nitro", "-smp"], "nitro", undefined],
    [["nitro", "-kernel", "a"], "nitro", 2],
    [["qemu-system-x86_64"], "qemu-system-x86_64", 1],
    [["nitro-cli", "run-enclave"], "nitro-cli", undefined],
    [["enclave"], "enclave", undefined],
  ] as const)("%j has %s's %p", (words, program, vcpus) => {
    expect(vcpusFromArguments(words, program, 2)).toBe(vcpus);
  });

  test("an enclave has a whole core at least", () => {
    const enclaves = [
      { pid: 7, program: "nitro", vcpus: 4 },
      { pid: 8, program: "qemu", vcpus: 1 },
      { pid: 9, program: "other", vcpus: undefined },
    ];
    expect(coresInUse({ enclaves, complete: true }, 2)).toBe(4);
    expect(enclavesText(enclaves)).toBe(
      "nitro (process 7, 4 vCPUs), qemu (process 8, 1 vCPU), other (process 9)",
    );
  });
});

describe("free memory", () => {
  const files = {
    "/proc/buddyinfo":
      "Node 0, zone      DMA      1      1      1      1      1      1      1      1      1      1      2 \n" +
      "Node 0, zone   Normal     10      0      0      0      0      0      0      0      7      3      4 \n" +
      "Node 1, zone   Normal      0      0      0      0      0      0      0      0      0      1      0 ",
    "/proc/meminfo": "MemFree:  4096 kB\nActive(file):  10 kB\nInactive(file):  6 kB",
    "/sys/devices/system/node/node1/meminfo": "Node 1 MemFree:  2048 kB\nNode 1 Active(file):  1 kB",
  };

  test.skipIf(process.arch === "arm64")("by node and in all, in blocks of 2 MiB and more", () => {
    const system = systemWith(files);
    expect(freeMemory(system, undefined)).toEqual({
      free: 2 ** 22,
      cached: 2 ** 14,
      contiguousPages: 1 + 4 + 3 + 8 + 1,
    });
    expect(freeMemory(system, 1)).toEqual({ free: 2 ** 21, cached: 2 ** 10, contiguousPages: 1 });
    expect(freeMemory(systemWith({}), 1)).toBeUndefined();
  });
});

describe("limits of the process", () => {
  const limits = (files: string, size: string, capabilities = "0000000000000000") =>
    systemWith({
      "/proc/self/limits":
        "Limit                     Soft Limit           Hard Limit           Units     \n" +
        `Max file size             ${size.padEnd(20)} ${size.padEnd(20)} bytes     \n` +
        `Max open files            ${files.padEnd(20)} ${files.padEnd(20)} files     `,
      "/proc/self/status": `CapEff:\t${capabilities}`,
    });

  test("that are high enough are in nobody's way, nor are those that are not told", () => {
    expect(openFilesProblem(limits("1024", "unlimited"))).toBeUndefined();
    expect(fileSizeProblem(limits("1024", "unlimited"), 2 ** 40)).toBeUndefined();
    expect(openFilesProblem(systemWith({}))).toBeUndefined();
  });

  test("who may raise them is told how, and others where", () => {
    expect(openFilesProblem(limits("20", "unlimited", "0000000001000000"))?.command).toBe("ulimit -n 1024");
    expect(fileSizeProblem(limits("20", "1048576", "0000000001000000"), 2 ** 27)?.command).toBe(
      "ulimit -f unlimited",
    );
    const problem = openFilesProblem(limits("20", "unlimited"));
    expect([problem?.command, problem?.advice]).toEqual([undefined, expect.stringContaining("limits.conf")]);
  });
});

test("a shell's word", () => {
  expect(["a-b_c./:=", "", "it's $x"].map(shellQuote)).toEqual(["a-b_c./:=", "''", "'it'\\''s $x'"]);
});

test("a problem as a launch tells it: the reason behind the kernel's, the command first in the hint", () => {
  const problem = {
    why: "nothing is there",
    command: "make it",
    options: ["-m", "1G"],
    advice: "or leave it",
  };
  const failure = problemError("WHAT", problem, "No such file (ENOENT)");
  expect([failure.what, failure.why, failure.hint]).toEqual([
    ...["WHAT", "No such file (ENOENT): nothing is there", "make it; use -m 1G; or leave it"],
  ]);
  expect(failure.remedy).toEqual({ command: "make it", options: ["-m", "1G"] });
  expect(problemError("WHAT", { why: "so" }).hint).toBeUndefined();
});
