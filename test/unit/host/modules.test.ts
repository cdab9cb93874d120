import { describe, expect, test } from "bun:test";
import { isOlderThanDriver, missingModule, moduleState } from "../../../src/host/modules.ts";
import { systemWith } from "../sys/fake-files.ts";

const OSRELEASE = "/proc/sys/kernel/osrelease";

describe("module state", () => {
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
  ] as const)("module state: %s if modules.dep contains %j", (state, dep) => {
    expect(moduleState(kernel(dep), "nitro_enclaves")).toBe(state);
  });

  test("module state: loaded if it is built in or in /sys/module, unknown if no list can be read", () => {
    expect(moduleState(kernel("", "kernel/net/vmw_vsock/vsock.ko"), "vsock")).toBe("loaded");
    expect(moduleState(systemWith({ "/sys/module/vsock/refcnt": 0 }), "vsock")).toBe("loaded");
    expect(moduleState(systemWith({ [OSRELEASE]: "6.1.0" }), "vsock")).toBe("unknown");
  });
});

describe("kernel version", () => {
  test.each([
    ["4.14.355-271.amzn2.x86_64", true],
    ["5.9.16", true],
    ["5.10.0", process.arch === "arm64"],
    ["5.16.0-rc1", false],
    ["6.1.141", false],
    ["10.0", false],
  ] as const)("%s is older than the driver: %s", (release, older) => {
    expect(isOlderThanDriver(release)).toBe(older);
  });
});

describe("missing module", () => {
  test.each([
    ['ID="amzn"\nVERSION_ID="2023"', /^dnf upgrade -y kernel$/, /next reboot/],
    [
      'ID=rocky\nID_LIKE="rhel centos fedora"',
      /^dnf install -y kernel-modules-extra-6\.1\.0 && modprobe x$/,
      undefined,
    ],
    [
      "ID=ubuntu\nID_LIKE=debian",
      /^env NEEDRESTART_MODE=l apt-get install -y --no-remove linux-modules-extra-6\.1\.0 && modprobe x$/,
      undefined,
    ],
    [
      "ID=debian",
      /^env NEEDRESTART_MODE=l apt-get install -y --no-remove linux-image-(amd64|arm64)$/,
      /next reboot/,
    ],
    ["ID=arch", undefined, /install the package/],
  ] as const)("os-release %j: names the distribution's package", (release, command, advice) => {
    const problem = missingModule(systemWith({ [OSRELEASE]: "6.1.0", "/etc/os-release": release }), "x");
    expect(problem.why).toBe("kernel 6.1.0 has no module x");
    if (command === undefined) expect(problem.command).toBeUndefined();
    else expect(problem.command).toMatch(command);
    if (advice === undefined) expect(problem.advice).toBeUndefined();
    else expect(problem.advice).toMatch(advice);
  });
});
