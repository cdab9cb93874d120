/**
 * The main job on real input: dist/nitro, unmodified, launches Debian's own cloud kernel with a small busybox initrd. The
 * host is the emulated parent instance (test/emulated-parent), which takes kernel, initrd and command line out of the
 * donated memory and boots them.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxInitrd } from "./initrd.ts";
import { guestKernel, needPrograms, ROOT } from "./packages.ts";

const INIT = `
dmesg -n 1
mount -t proc proc /proc
echo "init: up"
echo "Hello from inside the enclave: $(uname -sr), $(nproc) CPUs, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"
echo "command line: $(cat /proc/cmdline)"
sleep 1
echo "Goodbye."
poweroff -f
`;

needPrograms("qemu-system-x86_64", "busybox");
const kernel = guestKernel();
const built = Bun.spawnSync([process.execPath, "build.ts"], {
  cwd: ROOT,
  stdio: ["ignore", "inherit", "inherit"],
});
if (built.exitCode !== 0) process.exit(1);

const directory = mkdtempSync(join(tmpdir(), "nitro-demo-"));
try {
  const initrd = join(directory, "initrd.cpio");
  writeFileSync(initrd, busyboxInitrd(INIT));
  const launch = [
    "./dist/nitro",
    ..."-accel nitro,debug-mode=on,enclave-cid=16 -M nitro -nographic -smp 2 -m 512M".split(" "),
    ...["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1"],
  ];
  console.log(
    `\nOn an emulated parent instance (see test/emulated-parent/README.md):\n\n  ${launch.join(" ")}\n`,
  );
  const parent = [
    process.execPath,
    "test/emulated-parent/main.ts",
    "--boot",
    "--limit",
    "120",
    "--",
    ...launch,
  ];
  const { exitCode } = Bun.spawnSync(parent, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  console.log(`\nThe launcher ended with the enclave, exit status ${exitCode}.`);
  process.exitCode = exitCode;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
