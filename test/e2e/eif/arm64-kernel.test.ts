/**
 * Debian's cloud kernel for arm64, flat as in its package and in the containers of other distributions: `eif build`
 * builds the same image from each, and its content boots on the virt machine of qemu-system-aarch64.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { busyboxInitrd } from "../../support/initrd.ts";
import { arm64Guest, needPrograms } from "../../support/packages.ts";
import { zboot } from "../../unit/eif/kernels.ts";
import { payload, readEifFile } from "./eif-file.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());

const COMMAND_LINE = "console=ttyAMA0 panic=-1 quiet";
/** A boot takes 3 s on an idle machine; the limit allows for a busy one. */
const BOOT_LIMIT_SECONDS = 240;

let flat = "";
let initrd = "";

/** Compresses the kernel with another program, from standard input as the kernel's build does. */
function packedBy(...command: readonly string[]): Uint8Array {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: Bun.file(flat) });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return new Uint8Array(stdout);
}

function build(name: string, kernel: string): string {
  const args = ["-arch", "aarch64", "-name", "debian", "-initrd", initrd, "-append", COMMAND_LINE];
  here.done(["build", "-o", name, "-kernel", kernel, ...args]);
  return here.path(name);
}

/**
 * Boots an image's kernel, ramdisk and command line, extracted by the tests' own reader. Returns the console output.
 */
async function consoleOf(eif: string, name: string): Promise<string> {
  const file = readEifFile(eif);
  const [kernel, ramdisk] = ["kernel", "ramdisk"].map((part) =>
    here.file(`${name}.${part}`, payload(file, part)),
  );
  const machine = ["-M", "virt", "-cpu", "cortex-a57", "-m", "512", "-accel", "tcg", "-net", "none"];
  const ends = ["-nographic", "-no-reboot", "-monitor", "none", "-serial", "stdio"];
  const args = ["-kernel", kernel ?? "", "-initrd", ramdisk ?? "", "-append", `${payload(file, "cmdline")}`];
  const run = Bun.spawn(
    ["timeout", String(BOOT_LIMIT_SECONDS), "qemu-system-aarch64", ...machine, ...ends, ...args],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const shown = await new Response(run.stdout).text();
  expect([await run.exited, shown]).toEqual([0, expect.any(String)]);
  return shown;
}

beforeAll(() => {
  needPrograms("qemu-system-aarch64", "zstd");
  const guest = arm64Guest();
  flat = guest.kernel;
  const script =
    'dmesg -n 1\nmount -t proc proc /proc\necho "init: up on $(uname -m): $(cat /proc/cmdline)"\npoweroff -f\n';
  initrd = here.file("busybox.cpio", busyboxInitrd(script, guest.busybox));
}, 600_000);

describe("Debian's arm64 kernel", () => {
  const forms: Readonly<Record<string, () => Uint8Array>> = {
    "as in its package": () => new Uint8Array(readFileSync(flat)),
    gzipped: () => packedBy("gzip", "-1"),
    "in zboot with gzip": () => zboot(packedBy("gzip", "-1"), readFileSync(flat)),
    // From a pipe: a frame without the content's size, as in the kernel's build.
    "in zboot with zstd": () => zboot(packedBy("zstd", "-3"), readFileSync(flat), { compression: "zstd" }),
  };
  test.each(Object.keys(forms))(
    "%s: its flat Image is in the image, and boots",
    async (form) => {
      const name = form.replaceAll(" ", "-");
      const bytes = forms[form]?.() ?? new Uint8Array(0);
      const eif = build(`${name}.eif`, here.file(name, bytes));
      const file = readEifFile(eif);
      expect(file.flags).toBe(1);
      expect(payload(file, "kernel").equals(readFileSync(flat))).toBe(true);
      expect(bytes.length < statSync(flat).size).toBe(form !== "as in its package");
      expect(await consoleOf(eif, name)).toContain(`init: up on aarch64: ${COMMAND_LINE}\r\n`);
    },
    (BOOT_LIMIT_SECONDS + 60) * 1000,
  );

  test("arm64 kernel: every container results in the same image", () => {
    const names = Object.keys(forms).map((form) => form.replaceAll(" ", "-"));
    const images = names.map((name) => readFileSync(build(`again-${name}.eif`, here.path(name))));
    expect(images.map((bytes) => bytes.equals(images[0] ?? Buffer.alloc(0)))).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });
});
