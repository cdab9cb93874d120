/**
 * `npm test [FILE...]`: installs what the tests need, runs tsc and Biome, builds, runs bun test, and prints one closing
 * line of counts. It fails if a test fails or is skipped without being on the list of support/skips.ts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  arm64Guest,
  arm64Sysroot,
  guestKernel,
  needPrograms,
  qemuMachine,
  qmpClient,
  ROOT,
} from "./support/packages.ts";
import { skippedTests, skipReasons, unexpectedSkips } from "./support/skips.ts";

needPrograms(
  "qemu-system-x86_64",
  "qemu-system-aarch64",
  "busybox",
  "qemu-aarch64-static",
  "gcc",
  "as",
  "aarch64-linux-gnu-as",
  "eu-strip",
  "patchelf",
  "strace",
  "setpriv",
  "socat",
  "openssl",
  "python3",
  "zstd",
  "xz",
  "bzip2",
  "groff",
  "zsh",
  "fish",
);
// Unpacked before the tests, so that no test waits for the network.
const env = {
  ...process.env,
  NITRO_GUEST_KERNEL: guestKernel(),
  NITRO_ARM64_SYSROOT: arm64Sysroot(),
  NITRO_QMP_CLIENT: qmpClient(),
  NITRO_QEMU_MACHINE: qemuMachine(),
};
arm64Guest();

function step(command: readonly string[]): void {
  console.log(`+ ${command.join(" ")}`);
  const { exitCode } = Bun.spawnSync([...command], { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  if (exitCode !== 0) process.exit(exitCode || 1);
}

step(["npx", "tsc", "--noEmit"]);
step(["npx", "biome", "ci", "."]);
step([process.execPath, "build.ts"]);

const directory = mkdtempSync(join(tmpdir(), "nitro-test-"));
const report = join(directory, "junit.xml");
const options = ["--timeout", "60000", "--only-failures", "--reporter=junit", `--reporter-outfile=${report}`];
const { exitCode } = Bun.spawnSync([process.execPath, "test", ...options, ...process.argv.slice(2)], {
  cwd: ROOT,
  env,
  stdio: ["ignore", "inherit", "inherit"],
});
const junit = await Bun.file(report)
  .text()
  .catch(() => "");
rmSync(directory, { recursive: true, force: true });

const total = (name: string) => Number(new RegExp(`<testsuites [^>]*\\b${name}="(\\d+)"`).exec(junit)?.[1]);
const [tests, failed, skipped] = [total("tests"), total("failures"), total("skipped")];
const unexpected = unexpectedSkips(skippedTests(junit), process.env["CI"] !== undefined);
for (const { file, name } of unexpected) console.log(`skipped, but not on the list: ${file}: ${name}`);
if (skipped > 0) console.log(`reasons to skip tests on this machine: ${skipReasons().join("; ") || "none"}`);
if (Number.isNaN(tests)) console.log("bun test wrote no report");
else console.log(`${tests - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
process.exit(exitCode !== 0 || Number.isNaN(tests) || unexpected.length > 0 ? exitCode || 1 : 0);
