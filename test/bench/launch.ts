/**
 * The time and the memory of a launch: from execve(2) to the donation of memory and to NE_START_ENCLAVE, of an assembled
 * image (kernel and initrd) and of an EIF. Contestants run in turn under the same emulated parent instance.
 */
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type ParentResult, runInParent } from "../emulated-parent/run.ts";
import { imageFiles } from "./image-files.ts";
import { cheapScenario, mustRun, NITRO, type Setup } from "./setup.ts";
import { medianInterval, pairedRatios, printFigures, rounds, summary } from "./statistics.ts";

/** An image to launch. */
interface Case {
  readonly name: string;
  readonly form: "kernel + initrd" | "EIF";
  readonly imageBytes: number;
  readonly memoryMib: number;
  readonly rounds: number;
}

/**
 * -m is four times the image (without the warning that less memory gives), the default, or the least round size that
 * holds it. QEMU leaves zeroing to the driver, after the measured moment; nitro and the C program have done it by then.
 */
const CASES: readonly Case[] = (["kernel + initrd", "EIF"] as const).flatMap((form) => [
  { name: "16 MB", form, imageBytes: 16_000_000, memoryMib: 64, rounds: 61 },
  { name: "16 MB", form, imageBytes: 16_000_000, memoryMib: 128, rounds: 61 },
  { name: "900 MB", form, imageBytes: 900_000_000, memoryMib: 1024, rounds: 21 },
]);

/** What one launch costs. */
interface Cost {
  readonly donationMs: number;
  readonly startMs: number;
  /** The peak of its anonymous memory, without the enclave's. */
  readonly peakMb: number;
}

const FIGURES = [
  ["donationMs", "ms from exec to NE_SET_USER_MEMORY_REGION"],
  ["startMs", "ms from exec to NE_START_ENCLAVE"],
  ["peakMb", "MB of its own memory at the peak"],
] as const;

/** Milliseconds from the last execve(2) (a wrapper's own start does not count) to the arrival of a call. */
function sinceExec(result: ParentResult, call: string): number {
  const arrival = result.trace.find((entry) => entry.what === call)?.t;
  if (arrival === undefined) throw new Error(`no ${call}: ${result.stderr}`);
  const execs = result.trace.filter((entry) => entry.what === "execve" && entry.t < arrival);
  return arrival - Math.max(...execs.map((entry) => entry.t));
}

async function launchOnce(setup: Setup, command: readonly string[]): Promise<Cost> {
  // Every launcher is stopped by the same signal soon after the start: QEMU would not end by itself.
  const scenario = { ...cheapScenario(setup), signals: [{ afterMs: 30, signal: "SIGTERM" }] };
  const result = await runInParent({ command, scenario });
  const peakKib = Math.max(...result.report.memoryPeaks.map((peak) => peak.highKiB));
  return {
    donationMs: sinceExec(result, "NE_SET_USER_MEMORY_REGION"),
    startMs: sinceExec(result, "NE_START_ENCLAVE"),
    peakMb: (peakKib * 1024) / 1e6,
  };
}

/** The files of a case, and the options of a launch with them. */
interface Image extends Disposable {
  readonly kernel: string;
  readonly initrd: string;
  readonly options: readonly string[];
}

function createImage(setup: Setup, { form, imageBytes, memoryMib }: Case): Image {
  const { kernel, initrd } = imageFiles(setup.directory, imageBytes);
  const eif = join(setup.directory, "image.eif");
  const assembled = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0"];
  if (form === "EIF") mustRun([NITRO, "eif", "build", "-arch", "x86_64", "-o", eif, ...assembled]);
  const machine = ["-accel", "nitro,debug-mode=on", "-M", "nitro", "-nographic"];
  const size = ["-m", `${memoryMib}M`, "-smp", "2"];
  return {
    kernel,
    initrd,
    options: [...machine, ...size, ...(form === "EIF" ? ["-kernel", eif] : assembled)],
    [Symbol.dispose]() {
      for (const path of [kernel, initrd, eif]) rmSync(path, { force: true });
    },
  };
}

function titleOf({ name, form, memoryMib, rounds: count }: Case): string {
  return `Launch of ${form}, ${name}, -m ${memoryMib}M, ${count} rounds`;
}

/** Measures nitro, the C program (assembled images only) and QEMU, and prints the figures. */
export async function launches(setup: Setup, referenceLauncher: string): Promise<void> {
  for (const each of CASES) {
    using image = createImage(setup, each);
    const { kernel, initrd, options } = image;
    const contestants: Record<string, () => Promise<Cost>> = {
      nitro: () => launchOnce(setup, [NITRO, ...options]),
    };
    const reference = [referenceLauncher, String(each.memoryMib), kernel, initrd, "console=ttyS0"];
    if (each.form !== "EIF") contestants["C"] = () => launchOnce(setup, reference);
    const { qemu } = setup;
    if (qemu !== undefined) contestants["QEMU"] = () => launchOnce(setup, [...qemu, ...options]);
    const results = await rounds(each.rounds, contestants);
    console.log(`\n${titleOf(each)}`);
    for (const [figure, unit] of FIGURES) {
      const values = Object.entries(results).map(([name, costs]) => [
        name,
        costs.map((cost) => cost[figure]),
      ]);
      printFigures(unit, Object.fromEntries(values));
    }
  }
}

/**
 * Measures nitro against an older executable, in turn, and prints the paired ratios with their 95 % intervals. Both files
 * are copied first: the memory and the page faults of a process depend on how its file came into the page cache.
 */
export async function launchesAgainst(setup: Setup, olderFile: string): Promise<void> {
  const [newer, older] = [join(setup.directory, "nitro-newer"), join(setup.directory, "nitro-older")];
  copyFileSync(NITRO, newer);
  copyFileSync(olderFile, older);
  for (const each of CASES) {
    using image = createImage(setup, each);
    const results = await rounds(each.rounds, {
      nitro: () => launchOnce(setup, [newer, ...image.options]),
      older: () => launchOnce(setup, [older, ...image.options]),
    });
    console.log(`\n${titleOf(each)}, against ${olderFile}`);
    for (const [figure, unit] of FIGURES) {
      const [own, others] = [results["nitro"] ?? [], results["older"] ?? []].map((costs) =>
        costs.map((cost) => cost[figure]),
      ) as [number[], number[]];
      const { median, low, high } = medianInterval(pairedRatios(own, others));
      const interval = `${median.toFixed(3)} (95 % interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
      console.log(`  ${unit}: ${summary(own)}, older ${summary(others)}, ratio ${interval}`);
    }
  }
}
