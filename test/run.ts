/** `npm test`: brings what the tests need, checks and builds, runs bun test, and closes with one plain line of counts. */
import { arm64Guest, arm64Sysroot, guestKernel, needPrograms, qmpClient, ROOT } from "./support/packages.ts";

needPrograms(
  "qemu-system-x86_64",
  "qemu-system-aarch64",
  "busybox",
  "qemu-aarch64-static",
  "gcc",
  "strace",
  "setpriv",
  "socat",
  "openssl",
  "python3",
  "zstd",
  "xz",
  "bzip2",
);
const kernel = guestKernel();
const sysroot = arm64Sysroot();
const client = qmpClient();
// Unpacked here, so that no test waits for the network.
arm64Guest();

function step(command: readonly string[]): void {
  console.log(`+ ${command.join(" ")}`);
  const { exitCode } = Bun.spawnSync([...command], { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  if (exitCode !== 0) process.exit(exitCode || 1);
}

step(["npx", "tsc", "--noEmit"]);
step(["npx", "biome", "ci", "."]);
step([process.execPath, "build.ts"]);

const words = process.argv.slice(2);
const tests = Bun.spawn([process.execPath, "test", "--timeout", "60000", ...words], {
  cwd: ROOT,
  env: { ...process.env, NITRO_GUEST_KERNEL: kernel, NITRO_ARM64_SYSROOT: sysroot, NITRO_QMP_CLIENT: client },
  stdio: ["ignore", "inherit", "pipe"],
});
// bun test reports on stderr; its closing counts are kept for the plain line.
let tail = "";
const decoder = new TextDecoder();
for await (const chunk of tests.stderr) {
  process.stderr.write(chunk);
  tail = (tail + decoder.decode(chunk, { stream: true })).slice(-4096);
}
const status = await tests.exited;
const count = (word: string) => [...tail.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? "0";
console.log(`${count("pass")} passed, ${count("fail")} failed, ${count("skip")} skipped`);
process.exit(status);
