/** Debian's cloud kernel with a busybox initrd, which the emulated parent boots from the donated memory. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { ParentResult } from "../../emulated-parent/run.ts";
import { busyboxInitrd, newcArchive } from "../../support/initrd.ts";
import { guestKernel, needPrograms } from "../../support/packages.ts";
import { SigningPlace } from "../../unit/eif/signing.ts";
import { assembledEif } from "./images.ts";
import {
  CAUSE_UNKNOWN,
  exitStart,
  expectNothingLeft,
  launch,
  lines,
  NITRO,
  notHere,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const COMMAND_LINE = "console=ttyS0 panic=-1";
// Linux may print messages between and within those of the init; after `dmesg -n 1` it prints only its last ones.
const UP = 'dmesg -n 1\necho "init: up"\nsleep 0.3\n';
// With one thread per core an enclave has one CPU by default, and boots faster in an emulator.
const scenario = {
  ...{ checkWrites: false, cpus: 8, threadsPerCore: 1, pool: "2-7" },
  enclave: { kind: "boot" as const },
};
let kernel = "";
let boots = 0;

beforeAll(() => {
  if (notHere !== undefined) return;
  needPrograms("qemu-system-x86_64", "busybox");
  const { NITRO_GUEST_KERNEL = guestKernel() } = process.env;
  kernel = NITRO_GUEST_KERNEL;
});

/** Boots a script as the init and returns the result. */
function boot(script: string, commandLine = `${COMMAND_LINE} quiet`): Promise<ParentResult> {
  boots += 1;
  const initrd = here.file(`initrd.${boots}`, busyboxInitrd(script));
  const args = ["-kernel", kernel, "-initrd", initrd, "-append", commandLine, "-m", "512M"];
  return launch([NITRO, "-accel", "nitro,debug-mode=on", ...args], scenario);
}

function expectEnd(result: ParentResult, status: number, message: string): void {
  expect(lines(result.stderr).at(-1)).toMatch(exitStart(message));
  expect(result.status).toBe(status);
  expect(result.report.consoles[0]?.delivered).toBe(result.stdout.length);
  expectNothingLeft(result);
}

const answered = [{ cid: 16, byte: 0xb7, outcome: "answered" as const }];

describe.concurrent.skipIf(notHere !== undefined)("booted kernel", () => {
  test("booted kernel: a power-off gives status 0; its console is on stdout and its heartbeat is answered", async () => {
    const script = `mount -t proc proc /proc\n${UP}echo "args: $(cat /proc/cmdline)"\npoweroff -f\n`;
    const result = await boot(script, COMMAND_LINE);
    expect(result.stdout).toMatch(/Linux version \d/);
    expect(result.stdout).toContain("init: up\r\n");
    expect(result.stdout).toContain(`args: ${COMMAND_LINE}\r\n`);
    expect(result.report.heartbeats).toEqual(answered);
    expectEnd(result, 0, "powered off after TIME");
  });

  test("booted kernel: a panic after the exit of its init gives status 4", async () => {
    const result = await boot(`${UP}exit 3\n`);
    expect(result.report.heartbeats).toEqual(answered);
    expectEnd(
      result,
      4,
      "crashed after TIME; its console says: Kernel panic - not syncing: Attempted to kill init!",
    );
  });

  test("booted kernel: a panic before its heartbeat gives status 3", async () => {
    const result = await boot("exit 3\n");
    expect(result.report.heartbeats).toEqual([]);
    expectEnd(
      result,
      3,
      "exited TIME after start, without a heartbeat; its console says: Kernel panic - not syncing: ",
    );
  });

  test("booted kernel: a reboot gives status 5", async () => {
    const result = await boot(`${UP}reboot -f\n`);
    expect(result.report.heartbeats).toEqual(answered);
    expectEnd(result, 5, CAUSE_UNKNOWN.debug);
  });

  test("booted kernel: boots from an EIF", async () => {
    const initrd = busyboxInitrd(`${UP}poweroff -f\n`);
    const eif = here.file(
      "boot.eif",
      assembledEif(new Uint8Array(readFileSync(kernel)), initrd, COMMAND_LINE),
    );
    const result = await launch([NITRO, "-accel", "nitro,debug-mode=on", "-kernel", eif], scenario);
    expect(result.stdout).toContain("init: up\r\n");
    expect(result.report.heartbeats).toEqual(answered);
    expectEnd(result, 0, "powered off after TIME");
  });

  test("booted kernel: boots from an image of eif build with two ramdisks and a signature", async () => {
    using place = new SigningPlace();
    const { key, certificate } = place.pair();
    const initrd = place.file("initrd", busyboxInitrd(`${UP}cat /extra\npoweroff -f\n`));
    const extra = [
      { path: "extra", mode: 0o100644, content: new TextEncoder().encode("of the second ramdisk\n") },
    ];
    const second = place.file("second", newcArchive(extra));
    const eif = place.path("built.eif");
    const args = [
      "-kernel",
      kernel,
      "-initrd",
      initrd,
      "-M",
      `nitro,ramdisk=${second}`,
      "-append",
      COMMAND_LINE,
    ];
    const signing = ["-signing-certificate", certificate, "-private-key", key];
    const built = Bun.spawnSync([NITRO, "eif", "build", "-o", eif, ...args, ...signing]);
    expect([built.exitCode, built.stderr.toString()]).toEqual([0, ""]);
    const result = await launch([NITRO, "-accel", "nitro,debug-mode=on", "-kernel", eif], scenario);
    expect(result.stdout).toContain("init: up\r\n");
    expect(result.stdout).toContain("of the second ramdisk\r\n");
    expect(result.report.heartbeats).toEqual(answered);
    expectEnd(result, 0, "powered off after TIME");
  });
});
