/** The throughput of the console into a file. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { runInParent } from "../emulated-parent/run.ts";
import type { ScenarioInput } from "../emulated-parent/scenario.ts";
import { imageFiles } from "./image-files.ts";
import { cheapScenario, NITRO, type Setup } from "./setup.ts";
import { printFigures, rounds } from "./statistics.ts";

/** Measures nitro and QEMU with so many bytes of console output, and prints MB/s. */
export async function consoleThroughput(setup: Setup, bytes: number, count: number): Promise<void> {
  const { kernel, initrd } = imageFiles(setup.directory, 16_000_000);
  const file = join(setup.directory, "console");
  const scenario = cheapScenario(setup, { liveMs: 100, consoleFloodBytes: bytes });
  const throughput = (command: readonly string[], more: ScenarioInput) => async () => {
    rmSync(file, { force: true });
    const run = { command, scenario: { ...scenario, ...more }, limitSeconds: 60 };
    const { trace, stderr } = await runInParent(run);
    const timeOf = (what: string) => trace.find((entry) => entry.what === what)?.t;
    const [from, to] = [timeOf("console connect"), timeOf("console closed")];
    const { size } = statSync(file);
    if (from === undefined || to === undefined || size < bytes) throw new Error(`${size} bytes: ${stderr}`);
    return bytes / 1e3 / (to - from);
  };
  const machine = ["-accel", "nitro,debug-mode=on", "-M", "nitro", "-display", "none"];
  const image = ["-m", "128M", "-smp", "2", "-kernel", kernel, "-initrd", initrd];
  const options = [...machine, "-serial", `file:${file}`, ...image];
  const contestants: Record<string, () => Promise<number>> = { nitro: throughput([NITRO, ...options], {}) };
  if (setup.qemu !== undefined) {
    // QEMU does not notice the enclave's exit: a signal stops it well after the console's end.
    const stop = { signals: [{ afterMs: 4000, signal: "SIGTERM" }] };
    contestants["QEMU"] = throughput([...setup.qemu, ...options, "-monitor", "none"], stop);
  }
  console.log(`\nConsole into a file, ${bytes / 1e6} MB, ${count} rounds`);
  printFigures("MB/s", await rounds(count, contestants));
}
