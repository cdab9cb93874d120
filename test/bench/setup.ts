/** What every measurement needs: programs, huge pages, and the scenario of a parent instance that costs little itself. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ScenarioInput } from "../emulated-parent/scenario.ts";
import { ROOT } from "../support/packages.ts";

export const NITRO = join(ROOT, "dist/nitro");

/** 1 GiB in pages of 2 MiB, and some that the previous round has not returned yet. */
const HUGE_PAGES = 640;
const NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";

/** The environment of a measurement. */
export interface Setup {
  /** A directory for images and outputs; it needs space for two images of 4 GiB. */
  readonly directory: string;
  /** Real huge pages where they can be reserved, else a tmpfs file. */
  readonly memory: "real" | "stand-in";
  /** The command of a QEMU with -accel nitro, if this machine has one. */
  readonly qemu: readonly string[] | undefined;
}

/** Runs a command in the project's directory and returns its standard output. Throws if it fails. */
export function mustRun(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: ROOT });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

/** Finds a QEMU that has -accel nitro (11.0 or later); NITRO_BENCH_QEMU names another command. */
export function findQemu(): readonly string[] | undefined {
  const { NITRO_BENCH_QEMU = "qemu-system-x86_64" } = process.env;
  const command = NITRO_BENCH_QEMU.split(" ");
  try {
    return /^nitro$/m.test(mustRun([...command, "-accel", "help"])) ? command : undefined;
  } catch {
    return undefined;
  }
}

/** Huge pages that are reserved for a measurement; disposal restores the previous number. */
export interface Reservation extends Disposable {
  readonly memory: Setup["memory"];
}

/** Reserves huge pages, as far as the machine has them. */
export function reserveHugePages(): Reservation {
  const before = readFileSync(NR_HUGEPAGES, "utf8").trim();
  writeFileSync(NR_HUGEPAGES, String(Math.max(Number(before), HUGE_PAGES)));
  const reserved = Number(readFileSync(NR_HUGEPAGES, "utf8"));
  return {
    memory: reserved >= HUGE_PAGES ? "real" : "stand-in",
    [Symbol.dispose]: () => writeFileSync(NR_HUGEPAGES, before),
  };
}

/** Returns a scenario that traps few calls: only opens for writing, and no check for late writes to donated memory. */
export function cheapScenario(setup: Setup, enclave: ScenarioInput["enclave"] = {}): ScenarioInput {
  return { memory: setup.memory, opens: "writable", checkWrites: false, enclave };
}
