/** Launches of the built program in an emulated parent instance, with small images; nothing of src is imported. */
import { expect, setDefaultTimeout } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ParentProcess,
  type ParentResult,
  type ParentRun,
  runInParent,
  startInParent,
  whyNotHere,
} from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import type { TraceEntry } from "../../emulated-parent/trace.ts";
import { accessibleFile } from "../../support/accessible.ts";
import { ROOT } from "../../support/packages.ts";
import { assembledEif, fakeInitrd, fakeKernel } from "./images.ts";

/** The built program, at a path that other users can execute. */
export const NITRO = accessibleFile(join(ROOT, "dist/nitro"));

/** Why these tests cannot run on this machine; undefined if they can. */
export const notHere = whyNotHere();
if (notHere !== undefined) console.log(`test/e2e/launch is skipped: it ${notHere}`);

/** How long an enclave lives that sends its heartbeat: many times what a launcher needs, even on a busy machine. */
export const LIVE_MS = 300;

/** An enclave that prints a line on its console, sends its heartbeat and exits by itself. */
export const HELLO = { console: ["hello", "from within"], heartbeatMs: 1, liveMs: LIVE_MS };

/** The command line of the assembled fixture. */
export const COMMAND_LINE = "console=ttyS0 reboot=k";

/** A directory for one test file, with images to launch. */
export class Workplace implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nitro-launch-"));
  readonly kernel = this.file("bzImage", fakeKernel());
  readonly initrd = this.file("initrd", fakeInitrd());
  readonly eif = this.file("image.eif", assembledEif(fakeKernel(), fakeInitrd(), COMMAND_LINE));

  constructor() {
    chmodSync(this.directory, 0o755);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  file(name: string, content: Uint8Array | string): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  text(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  /** The arguments of a launch of the EIF in debug mode, with the minimum of memory. */
  debug(...more: string[]): string[] {
    return [NITRO, "-accel", "nitro,debug-mode=on", "-kernel", this.eif, "-m", "64M", ...more];
  }

  /** The same in production mode. */
  production(...more: string[]): string[] {
    return [NITRO, "-kernel", this.eif, "-m", "64M", ...more];
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const LIMIT_SECONDS = 50;
setDefaultTimeout(60_000);

/** Returns a run with its own huge pages, so that only this launch can lose some. */
function ownPages(run: ParentRun): ParentRun {
  const scenario: ScenarioInput = { memory: "stand-in", ...run.scenario };
  return { limitSeconds: LIMIT_SECONDS, ...run, scenario };
}

/** Launches mostly wait, so some run concurrently; more of them would only delay each other. */
const MAX_CONCURRENT = 3;
let running = 0;
const waiting: (() => void)[] = [];

async function limited<T>(run: () => Promise<T>): Promise<T> {
  if (running >= MAX_CONCURRENT) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    return await run();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

/** Launches and waits for the end. Tests of one file run concurrently, but only a few of these do. */
export function launchAs(run: ParentRun): Promise<ParentResult> {
  return limited(() => runInParent(ownPages(run)));
}

export function launch(command: readonly string[], scenario: ScenarioInput = {}): Promise<ParentResult> {
  return launchAs({ command, scenario });
}

export function startLaunch(run: ParentRun): ParentProcess {
  return startInParent(ownPages(run));
}

/** Quotes arguments for a shell. */
export function shellWords(args: readonly string[]): string {
  return args.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
}

/** Returns the entries of the trace about one call or event. */
export function entries(result: ParentResult, what: string): TraceEntry[] {
  return result.trace.filter((entry) => entry.what === what);
}

export function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** Matches the beginning of the line about an enclave's exit. TIME stands for its run time. */
export function exitStart(text: string, cid = 16): RegExp {
  const escaped = text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^nitro: the enclave \\(CID ${cid}\\) ${escaped.replace("TIME", "\\d+(\\.\\d)? m?s")}`);
}

/** Matches that line from its beginning to its end. */
export function exitLine(text: string, cid = 16): RegExp {
  return new RegExp(`${exitStart(text, cid).source}$`);
}

/** Exit messages, for exitLine. */
export const CAUSE_UNKNOWN = {
  debug: "exited after TIME; cause unknown: its console shows neither a panic nor a power-off",
  noConsole: "exited after TIME; cause unknown: its console was not connected",
  production:
    "exited after TIME; cause unknown: production mode has no console; hint: reproduce it with test data and " +
    "debug-mode=on (its PCRs are zero)",
};
export const NO_HEARTBEAT = "exited TIME after start, without a heartbeat";

/** Asserts that no enclave, page or process is left, and that donated memory was not written to. */
export function expectNothingLeft(result: ParentResult, lostPages = 0): void {
  const { report } = result;
  const left = {
    overLimit: report.overLimit,
    slots: report.slotsLeft,
    processes: report.processesLeft,
    pages: report.hugePages.total - report.hugePages.free,
    lateWrites: report.lateWrites,
    unfreed: entries(result, "slot allocated").length - entries(result, "slot freed").length,
  };
  const nothing = { overLimit: false, slots: 0, processes: 0, pages: lostPages, lateWrites: [], unfreed: 0 };
  expect(left).toEqual(nothing);
}

/** Polls until something is found, with a time limit for a slow machine. */
export async function eventually<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const giveUp = performance.now() + 30_000;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > giveUp) throw new Error(`waited 30 s in vain for ${what}`);
    await Bun.sleep(10);
  }
}
