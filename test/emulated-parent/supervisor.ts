/** One run: the command under the filter, the emulated parent instance, and the report at the end. */

import { readdirSync, readFileSync } from "node:fs";
import { Calls } from "./calls.ts";
import type { Described } from "./described.ts";
import { Driver } from "./driver/driver.ts";
import { Faults } from "./faults.ts";
import { buildFilter } from "./filter.ts";
import { HugePages } from "./huge-pages.ts";
import { Loop, type Watch } from "./loop.ts";
import { Listener } from "./notification.ts";
import { Ledger, type Report } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { signalName } from "./sys/errno.ts";
import { closeFd, makePipe, readSome } from "./sys/files.ts";
import { HUGE_PAGE, NR, POLL, PR } from "./sys/kernel.ts";
import { call, fixedBytes, spawn } from "./sys/libc.ts";
import {
  childEnd,
  copyDescriptor,
  givenEnvironment,
  openProcess,
  type ProcessEnd,
  sendSignal,
} from "./sys/processes.ts";
import { Instance } from "./topology/instance.ts";
import { Trace, type TraceEntry } from "./trace.ts";
import { Vsock } from "./vsock.ts";
import { warmUp } from "./warm-up.ts";
import type { World } from "./world.ts";

/** The command, and how to run it. */
export interface RunOptions {
  scenario: Scenario;
  command: readonly string[];
  /** `UID:GID[:G2,G3]`, or undefined for the supervisor's own user. */
  user: string | undefined;
  limitMs: number | undefined;
  verbose: boolean;
  /** Whether a signal has asked the supervisor to stop. */
  isInterrupted: () => boolean;
}

/** The result of a run. */
export interface RunResult {
  report: Report;
  trace: TraceEntry[];
}

/** Stand-ins for programs that change a system by other means than its files. */
const programs = new URL("programs", import.meta.url).pathname;
const SIGKILL = 9; // signal(7)
const killTimeoutMs = 2000;
const settleStepMs = 2;

/** Returns the number of huge pages of the machine's default size. */
function machinePages(): { total: number; free: number; leaked: number } {
  const text = readFileSync("/proc/meminfo", "latin1");
  const number = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { total: number("HugePages_Total"), free: number("HugePages_Free"), leaked: 0 };
}

function makeWorld(options: RunOptions, describe: typeof Described | undefined): World {
  const { scenario } = options;
  const standIn = scenario.memory === "stand-in" || (scenario.memory === "auto" && machinePages().free === 0);
  const trace = new Trace(options.verbose);
  const loop = new Loop();
  const instance = new Instance(scenario);
  const hugePages = describe?.pagesOf(instance) ?? new HugePages(scenario, standIn);
  const vsock = new Vsock(instance, loop, trace);
  return { scenario, instance, trace, loop, ledger: new Ledger(), hugePages, vsock };
}

/** Starts the command through the stage; returns its process id and the listener for its calls. */
function startCommand(world: World, options: RunOptions): { pid: number; listener: Listener } {
  const filter = Buffer.from(buildFilter(world.scenario, world.hugePages.standIn)).toString("base64");
  const stage = new URL("stage.ts", import.meta.url).pathname;
  const status = makePipe();
  const user = options.user ?? "-";
  const argv = [process.execPath, stage, filter, user, world.scenario.network, "--", ...options.command];
  const environment = givenEnvironment().map((entry) =>
    world.instance.described ? entry.replace(/^PATH=/, `PATH=${programs}:`) : entry,
  );
  const pid = spawn(argv, environment, new Map([[3, status.writeEnd]]));
  closeFd(status.writeEnd);
  const answer = Buffer.from(fixedBytes(16).buffer);
  const length = readSome(status.readEnd, answer); // the end of the pipe if the stage has failed
  closeFd(status.readEnd);
  if (length <= 0) {
    sendSignal(pid, 9);
    throw new Error("the command could not be put under the filter (its message is above)");
  }
  const fd = copyDescriptor(pid, Number.parseInt(answer.toString("latin1", 0, length), 10));
  if (fd < 0) {
    sendSignal(pid, 9);
    throw new Error(`pidfd_getfd: errno ${-fd}`);
  }
  return { pid, listener: new Listener(fd) };
}

/** Returns the processes whose parent is this process: the command, and orphans of it, which are reparented here. */
function children(): number[] {
  return readdirSync("/proc/self/task")
    .flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, "latin1").split(" "))
    .map(Number)
    .filter((pid) => pid > 0);
}

/** Kills all children until none is left: the children of a killed process are reparented here. */
function endChildren(): void {
  const deadline = performance.now() + killTimeoutMs;
  for (let left = children(); left.length > 0 && performance.now() < deadline; left = children()) {
    for (const child of left) {
      sendSignal(child, SIGKILL);
      childEnd(child);
    }
    Bun.sleepSync(1);
  }
}

/** Serves the listener, one call at a time. Resources of ended launchers are released before each call. */
function serveCalls(world: World, listener: Listener, driver: Driver, calls: Calls): Watch {
  const watch = world.loop.watch(
    listener.fd,
    POLL.IN,
    (ready) => {
      // A hang-up means that no process is left under the filter.
      if ((ready & POLL.IN) === 0) return world.loop.unwatch(watch);
      const request = listener.receive();
      if (request === undefined) return;
      driver.freeReleased();
      calls.answer(request);
    },
    1,
  );
  return watch;
}

/** Sends the signals that are due some time after the first start. */
function armSignals(world: World, driver: Driver, faults: Faults): void {
  driver.started = (launcher) => {
    driver.started = () => undefined;
    for (const { afterMs, send } of faults.timed(launcher)) world.loop.after(afterMs, send);
  };
}

/** Calls `ended` once the command has ended. */
function watchEnd(world: World, pid: number, ended: (end: ProcessEnd) => void): void {
  const processFd = openProcess(pid);
  if (processFd === undefined) throw new Error("the command ended before it began");
  const watch = world.loop.watch(
    processFd,
    POLL.IN,
    () => {
      const end = childEnd(pid);
      if (end === undefined) return;
      world.loop.unwatch(watch);
      closeFd(processFd);
      ended(end);
    },
    2, // a launcher's last calls are answered before its end is handled
  );
}

/** Waits a moment for processes that the command has left behind. @param done called with the number that still run. */
function waitForOthers(world: World, listening: Watch, done: (left: number) => void): void {
  const deadline = performance.now() + world.scenario.lingerMs;
  const emulators = new Set(
    world.trace.entries.filter(({ what }) => what === "enclave boots").map(({ pid }) => pid),
  );
  const check = (): void => {
    for (const child of children()) childEnd(child); // reaps those that have ended
    const left = children().filter((child) => !emulators.has(child));
    if ((left.length === 0 && listening.closed) || performance.now() >= deadline) {
      if (left.length > 0) world.trace.add("processes left", { count: left.length });
      done(left.length);
    } else world.loop.after(settleStepMs, check);
  };
  check();
}

/** How the command ended. */
interface Outcome {
  end: ProcessEnd | undefined;
  overLimit: boolean;
  wallMs: number;
  left: number;
}

function writeReport(world: World, driver: Driver, outcome: Outcome): Report {
  const { ledger, hugePages } = world;
  const { end, overLimit, wallMs, left } = outcome;
  return {
    ...(end !== undefined && "status" in end ? { status: end.status } : {}),
    ...(end !== undefined && "signal" in end ? { signal: signalName(end.signal) } : {}),
    overLimit,
    wallMs,
    arrivals: ledger.arrivals,
    calls: ledger.calls,
    supervisorMs: Math.round(ledger.supervisorMs * 1000) / 1000,
    memory: hugePages.standIn ? "stand-in" : "real",
    hugePages: hugePages.standIn
      ? hugePages.account(HUGE_PAGE)
      : { ...machinePages(), leaked: hugePages.account(HUGE_PAGE).leaked },
    slotsLeft: driver.slotsLeft,
    processesLeft: left,
    lateWrites: ledger.lateWrites,
    heartbeats: ledger.heartbeats,
    consoles: ledger.consoles.map(({ cid, produced, delivered }) => ({ cid, produced, delivered })),
    memoryPeaks: [...ledger.peaks.values()],
  };
}

/** Runs a command in an emulated parent instance. */
export async function supervise(options: RunOptions): Promise<RunResult> {
  const describe =
    options.scenario.topology === null ? undefined : (await import("./described.ts")).Described;
  const world = makeWorld(options, describe);
  warmUp(world.hugePages.standIn);
  const { loop, trace } = world;
  call(NR.prctl, PR.SET_CHILD_SUBREAPER, 1);
  const driver = new Driver(world);
  const faults = new Faults(world.scenario, trace);
  const described = describe === undefined ? undefined : new describe(world, driver);
  const calls = new Calls(world, driver, faults, described);
  const outcome: Outcome = { end: undefined, overLimit: false, wallMs: 0, left: 0 };
  try {
    const { pid, listener } = startCommand(world, options);
    const listening = serveCalls(world, listener, driver, calls);
    armSignals(world, driver, faults);
    if (options.limitMs !== undefined) {
      loop.after(options.limitMs, () => {
        outcome.overLimit = true;
        trace.add("over the limit");
        sendSignal(pid, SIGKILL);
      });
    }
    watchEnd(world, pid, (end) => {
      Object.assign(outcome, { end, wallMs: trace.now() });
      trace.add("command ended", { ...end });
      waitForOthers(world, listening, (left) => {
        outcome.left = left;
        loop.stop();
      });
    });
    await loop.run(async () => {
      await Bun.sleep(0);
      if (options.isInterrupted()) loop.stop();
    });
    listener.close();
  } finally {
    endChildren();
    described?.close();
  }
  driver.freeReleased();
  world.hugePages.collect();
  return { report: writeReport(world, driver, outcome), trace: trace.entries.sort((a, b) => a.t - b.t) };
}
