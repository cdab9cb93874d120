/**
 * Runs programs for aarch64 under qemu-user: NITRO_ARM64_SYSROOT names a directory with an arm64 libc
 * (lib/ld-linux-aarch64.so.1 and what belongs to it). On an aarch64 machine they run as they are.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Ended, type RunOptions, runCommand } from "./nitro.ts";

const QEMU = "qemu-aarch64-static";
const sysroot = process.env["NITRO_ARM64_SYSROOT"] ?? "";
const native = process.arch === "arm64";

function findReason(): string | undefined {
  if (native) return undefined;
  if (Bun.which(QEMU) === null) return `${QEMU} is missing (Debian's package qemu-user-static)`;
  if (sysroot === "") return "NITRO_ARM64_SYSROOT names no directory with an arm64 libc";
  const loader = join(sysroot, "lib/ld-linux-aarch64.so.1");
  return existsSync(loader) ? undefined : `${loader} is missing`;
}

/** Why no program for aarch64 can run here, if none can. */
export const whyNoAarch64 = findReason();

/** Runs a program for aarch64. Variables are passed to it alone: qemu obeys variables of its own. */
export function runAarch64(program: string, args: readonly string[], options: RunOptions = {}): Ended {
  if (native) return runCommand([program, ...args], options);
  const given = Object.entries(options.env ?? {}).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
  const path = process.env["PATH"] ?? "";
  return runCommand([QEMU, "-L", sysroot, ...given, program, ...args], {
    cwd: options.cwd ?? "/",
    env: { PATH: path },
  });
}
