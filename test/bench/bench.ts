/**
 * `npm run bench`: what a launch costs, beside a C program that makes the same system calls (launcher.c) and, where one
 * is on this machine, a qemu-system that has `-accel nitro` (11.0 or later; NITRO_BENCH_QEMU names another command). All
 * run under the same emulated parent instance, in turn, in one run. Then what `eif build` costs (eif.ts). Every figure
 * is a median of rounds after a warm-up, with the least and the most; ratios are medians of the ratios of each round.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ParentResult, runInParent, startInParent, whyNotHere } from "../emulated-parent/run.ts";
import type { ScenarioInput } from "../emulated-parent/scenario.ts";
import { needPrograms, ROOT } from "../support/packages.ts";
import { eifBuilds } from "./eif.ts";
import { ratio, rounds, spread } from "./figures.ts";
import { imageFiles } from "./image-files.ts";
import { monitors } from "./monitor.ts";
import { preparations } from "./preparation.ts";
import { restless } from "./restless.ts";

const NITRO = join(ROOT, "dist/nitro");
/** Pages for 1 GiB, and some that are still on their way back from the round before. */
const HUGE_PAGES = 640;
const NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";

const reason = whyNotHere();
if (reason !== undefined) {
  console.error(`bench: ${reason}`);
  process.exit(1);
}
needPrograms("gcc");
const directory = mkdtempSync(join(tmpdir(), "nitro-bench-"));
const before = readFileSync(NR_HUGEPAGES, "utf8").trim();
try {
  await bench();
} finally {
  writeFileSync(NR_HUGEPAGES, before);
  rmSync(directory, { recursive: true, force: true });
}

async function bench(): Promise<void> {
  must([process.execPath, "build.ts"]);
  const yardstick = join(directory, "launcher");
  must(["gcc", "-O2", "-o", yardstick, join(import.meta.dir, "launcher.c"), "-lz"]);
  writeFileSync(NR_HUGEPAGES, String(Math.max(Number(before), HUGE_PAGES)));
  const reserved = Number(readFileSync(NR_HUGEPAGES, "utf8"));
  const memory = reserved >= HUGE_PAGES ? "real" : "stand-in";
  const qemu = findQemu();
  console.log(`Huge pages: ${memory}. QEMU with -accel nitro: ${qemu?.join(" ") ?? "none on this machine"}.`);
  const setup = { memory, yardstick, qemu } as const;
  // Four times the image, below which nitro warns, and what -m is where nobody says. QEMU leaves the zeroing to the driver,
  // behind the moment that is measured; nitro and the C program have done it by then.
  await launches(setup, "16 MB", 16_000_000, 64, 61);
  await launches(setup, "16 MB", 16_000_000, 128, 61);
  await launches(setup, "900 MB", 900_000_000, 1024, 5);
  await starts(qemu);
  await consoles(setup, 300_000_000, 5);
  await monitors({ directory, qemu, scenario: parentOf(setup), bytes: 1_000_000_000 });
  await preparations([4096, 8192]);
  await idle(setup);
  await eifBuilds(NITRO, directory);
}

interface Setup {
  readonly memory: "real" | "stand-in";
  readonly yardstick: string;
  readonly qemu: readonly string[] | undefined;
}

function must(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: ROOT });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

function findQemu(): readonly string[] | undefined {
  const { NITRO_BENCH_QEMU = "qemu-system-x86_64" } = process.env;
  const command = NITRO_BENCH_QEMU.split(" ");
  try {
    return /^nitro$/m.test(must([...command, "-accel", "help"])) ? command : undefined;
  } catch {
    return undefined;
  }
}

/** A parent that costs little: only opens for writing are looked at, and nobody checks for late writes. */
function parentOf(setup: Setup, enclave: ScenarioInput["enclave"] = {}): ScenarioInput {
  return { memory: setup.memory, opens: "writable", checkWrites: false, enclave };
}

/** Milliseconds from the last execve (a wrapper's own start does not count) to an ioctl's arrival. */
function sinceExec(result: ParentResult, what: string): number {
  const execs = result.trace.filter((entry) => entry.what === "execve").map((entry) => entry.t);
  const arrival = result.trace.find((entry) => entry.what === what)?.t;
  if (arrival === undefined) throw new Error(`no ${what}: ${result.stderr}`);
  return arrival - Math.max(...execs.filter((t) => t < arrival));
}

interface Launch {
  readonly donationMs: number;
  readonly startMs: number;
  readonly peakMb: number;
}

async function launches(
  setup: Setup,
  name: string,
  bytes: number,
  memoryMib: number,
  count: number,
): Promise<void> {
  const { kernel, initrd } = imageFiles(directory, bytes);
  // Each is stopped by the same signal soon after the start: QEMU would stay for ever.
  const scenario = { ...parentOf(setup), signals: [{ afterMs: 30, signal: "SIGTERM" }] };
  const one = (command: readonly string[]) => async (): Promise<Launch> => {
    const result = await runInParent({ command, scenario });
    const peakKib = Math.max(...result.report.memoryPeaks.map((peak) => peak.highKiB));
    return {
      donationMs: sinceExec(result, "NE_SET_USER_MEMORY_REGION"),
      startMs: sinceExec(result, "NE_START_ENCLAVE"),
      peakMb: (peakKib * 1024) / 1e6,
    };
  };
  const options = [
    "-m",
    `${memoryMib}M`,
    "-smp",
    "2",
    "-kernel",
    kernel,
    "-initrd",
    initrd,
    "-append",
    "console=ttyS0",
  ];
  const machine = ["-accel", "nitro,debug-mode=on", "-M", "nitro", "-nographic"];
  const contestants: Record<string, () => Promise<Launch>> = {
    nitro: one([NITRO, ...machine, ...options]),
    C: one([setup.yardstick, String(memoryMib), kernel, initrd, "console=ttyS0"]),
  };
  if (setup.qemu !== undefined) contestants["QEMU"] = one([...setup.qemu, ...machine, ...options]);
  const results = await rounds(count, contestants);
  console.log(`\nLaunch, image of ${name}, -m ${memoryMib}M, ${count} rounds`);
  for (const [figure, unit] of [
    ["donationMs", "ms from exec to NE_SET_USER_MEMORY_REGION"],
    ["startMs", "ms from exec to NE_START_ENCLAVE"],
    ["peakMb", "MB of its own memory at the most"],
  ] as const) {
    report(
      unit,
      Object.fromEntries(Object.entries(results).map(([who, all]) => [who, all.map((l) => l[figure])])),
    );
  }
  rmSync(kernel);
  rmSync(initrd);
}

/** One figure of every contestant, and nitro's ratio to the others. */
function report(unit: string, figures: Readonly<Record<string, readonly number[]>>): void {
  const own = figures["nitro"] ?? [];
  const texts = Object.entries(figures).map(([who, values]) => {
    const against = who === "nitro" ? "" : `, ratio ${ratio(own, values).toFixed(2)}`;
    return `${who} ${spread(values)}${against}`;
  });
  console.log(`  ${unit}: ${texts.join("; ")}`);
}

async function starts(qemu: readonly string[] | undefined): Promise<void> {
  const timed = (command: readonly string[], cold: boolean) => () => {
    // dd's "nocache" with nothing to copy drops the file from the page cache.
    if (cold) must(["dd", `if=${command[0]}`, "iflag=nocache", "count=0", "status=none"]);
    const begin = Bun.nanoseconds();
    must(command);
    return (Bun.nanoseconds() - begin) / 1e6;
  };
  const contestants: Record<string, () => number> = {
    nitro: timed([NITRO, "-version"], false),
    C: timed(["/bin/true"], false),
  };
  if (qemu !== undefined) contestants["QEMU"] = timed([...qemu, "-version"], false);
  console.log(
    `\nBare start, -version (C: /bin/true); the file has ${(statSync(NITRO).size / 1e6).toFixed(1)} MB`,
  );
  report("ms, warm, 20 rounds", await rounds(20, contestants));
  report("ms, out of the page cache, 5 rounds", await rounds(5, { nitro: timed([NITRO, "-version"], true) }));
}

async function consoles(setup: Setup, bytes: number, count: number): Promise<void> {
  const { kernel, initrd } = imageFiles(directory, 16_000_000);
  const file = join(directory, "console");
  const scenario = { ...parentOf(setup, { liveMs: 100, consoleFloodBytes: bytes }) };
  const one = (command: readonly string[], more: ScenarioInput) => async () => {
    rmSync(file, { force: true });
    const { trace, stderr } = await runInParent({
      command,
      scenario: { ...scenario, ...more },
      limitSeconds: 60,
    });
    const at = (what: string) => trace.find((entry) => entry.what === what)?.t;
    const [from, to] = [at("console connect"), at("console closed")];
    const size = statSync(file).size;
    if (from === undefined || to === undefined || size < bytes) throw new Error(`${size} bytes: ${stderr}`);
    return bytes / 1e3 / (to - from);
  };
  const options = [
    "-accel",
    "nitro,debug-mode=on",
    "-M",
    "nitro",
    "-display",
    "none",
    "-serial",
    `file:${file}`,
  ];
  const image = ["-m", "128M", "-smp", "2", "-kernel", kernel, "-initrd", initrd];
  const contestants: Record<string, () => Promise<number>> = {
    nitro: one([NITRO, ...options, ...image], {}),
  };
  if (setup.qemu !== undefined) {
    // QEMU does not notice the end: it is stopped when the console must long be through.
    const stop = { signals: [{ afterMs: 4000, signal: "SIGTERM" }] };
    contestants["QEMU"] = one([...setup.qemu, ...options, "-monitor", "none", ...image], stop);
  }
  console.log(`\nConsole into a file, ${bytes / 1e6} MB, ${count} rounds`);
  report("MB/s", await rounds(count, contestants));
}

async function idle(setup: Setup): Promise<void> {
  const { kernel, initrd } = imageFiles(directory, 16_000_000);
  const command = [
    NITRO,
    "-accel",
    "nitro,debug-mode=on",
    "-m",
    "128M",
    "-smp",
    "2",
    "-kernel",
    kernel,
    "-initrd",
    initrd,
  ];
  const launched = startInParent({
    command,
    scenario: parentOf(setup, { console: ["up"] }),
    limitSeconds: 60,
  });
  await Bun.sleep(2000);
  const pid = launched.commandPid();
  if (pid === undefined) throw new Error("bench: the launcher is not there");
  console.log("\nIdle with a running enclave, 10 s");
  await restless(pid, "from 2 s after the start");
  await Bun.sleep(18_000);
  await restless(pid, "from 30 s after the start, the runtime's helper threads having retired");
  launched.kill("SIGTERM");
  await launched.finished();
}
