/**
 * `npm run bench`: what nitro costs, compared with a C program that makes the same system calls (reference-launcher.c) and
 * with a qemu-system that has -accel nitro, if this machine has one. All run under the same emulated parent instance, in
 * turn. Figures are medians over the rounds after a warm-up, with minimum and maximum; ratios are medians of the ratios
 * of each round.
 *
 * `npm run bench -- --against FILE` compares launches with an older nitro executable and prints paired ratios.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { whyNotHere } from "../emulated-parent/run.ts";
import { needPrograms } from "../support/packages.ts";
import { consoleThroughput } from "./console.ts";
import { eifBuilds } from "./eif-build.ts";
import { idleLauncher } from "./idle.ts";
import { launches, launchesAgainst } from "./launch.ts";
import { monitors } from "./monitor.ts";
import { preallocations } from "./prealloc.ts";
import { cheapScenario, findQemu, mustRun, NITRO, reserveHugePages, type Setup } from "./setup.ts";
import { startup } from "./startup.ts";

const { values } = parseArgs({ options: { against: { type: "string" } } });
const reason = whyNotHere();
if (reason !== undefined) {
  console.error(`bench: ${reason}`);
  process.exit(1);
}
const directory = mkdtempSync(join(tmpdir(), "nitro-bench-"));
try {
  using pages = reserveHugePages();
  mustRun([process.execPath, "build.ts"]);
  const setup: Setup = { directory, memory: pages.memory, qemu: findQemu() };
  console.log(`Huge pages: ${setup.memory}.`);
  if (values.against !== undefined) await launchesAgainst(setup, resolve(values.against));
  else await everything(setup);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function everything(setup: Setup): Promise<void> {
  needPrograms("gcc");
  const referenceLauncher = join(directory, "reference-launcher");
  mustRun(["gcc", "-O2", "-o", referenceLauncher, join(import.meta.dir, "reference-launcher.c"), "-lz"]);
  console.log(`QEMU with -accel nitro: ${setup.qemu?.join(" ") ?? "none on this machine"}.`);
  await launches(setup, referenceLauncher);
  await startup(setup);
  await consoleThroughput(setup, 300_000_000, 5);
  await monitors({ directory, qemu: setup.qemu, scenario: cheapScenario(setup), bytes: 1_000_000_000 });
  await preallocations([4096, 8192]);
  await idleLauncher(setup);
  await eifBuilds(NITRO, directory);
}
