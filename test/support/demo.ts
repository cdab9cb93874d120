/**
 * `npm run demo`: dist/nitro, unmodified, launches Debian's cloud kernel with a small busybox initramfs on an emulated
 * parent instance, which takes the image out of the donated memory and boots it in QEMU.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whyNotHere } from "../emulated-parent/run.ts";
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

const obstacle = whyNotHere();
if (obstacle !== undefined) {
  console.error(`demo: the emulated parent instance ${obstacle}`);
  if (process.geteuid?.() !== 0) console.error('hint: sudo env "PATH=$PATH" npm run demo');
  process.exit(1);
}
needPrograms("qemu-system-x86_64", "busybox");
const kernel = guestKernel();
const build = Bun.spawnSync([process.execPath, "build.ts"], {
  cwd: ROOT,
  stdio: ["ignore", "ignore", "inherit"],
});
if (build.exitCode !== 0) process.exit(1);

const directory = mkdtempSync(join(tmpdir(), "nitro-demo-"));
try {
  const initrd = join(directory, "initrd.cpio");
  writeFileSync(initrd, busyboxInitrd(INIT));
  const options = "-accel nitro,debug-mode=on,enclave-cid=16 -M nitro -nographic -smp 2 -m 512M".split(" ");
  const image = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1"];
  const launch = ["./dist/nitro", ...options, ...image];
  console.log(`
demo: This machine is no EC2 instance: an emulated parent instance answers the driver's calls.
demo: nitro runs unmodified; the parent checks each call and boots the donated image in QEMU (TCG).
demo: Command line: ${launch.join(" ")}
demo: Lines that begin with "nitro:" are nitro's own messages (stderr).
demo: Everything else is the console of the guest (stdout). It takes about 5 s.
`);
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
  const meaning = exitCode === 0 ? "the enclave powered off" : "see nitro help exit-status";
  console.log(`
demo: nitro exited with status ${exitCode}: ${meaning}.
demo: The kernel booted from the memory that nitro donated, and the heartbeat was answered.
demo: On an EC2 parent instance the same command line launches a real enclave.
demo: Prepare it with: nitro pool --cpus 2 --memory 512
demo: Check it with: nitro check -kernel FILE
`);
  process.exitCode = exitCode;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
