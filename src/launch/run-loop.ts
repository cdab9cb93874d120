/**
 * The run loop: one poll(2) over the signals, the enclave and its devices until the enclave exits or the launcher is
 * asked to stop. With -S it starts before the enclave does; with -no-shutdown it goes on after the enclave's exit.
 */
import type { Device, ExitEvidence, RunEnd } from "../devices/device.ts";
import type { Enclave } from "../enclave/enclave.ts";
import { collectGarbage, restoreJitThresholds } from "../sys/engine.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import { runLoop, type Waiter, waiter } from "../sys/poll.ts";
import type { StopSignal } from "../sys/signals.ts";
import type { LaunchContext } from "./context.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import { describeExit, EXIT, type ExitReport } from "./exit-status.ts";

/** Runs until the enclave exits or is stopped, and reports the cause. Returns the exit status. */
export function runUntilExit(
  context: LaunchContext,
  run: EnclaveRun,
  enclave: Enclave,
  devices: readonly Device[],
): number {
  const loop = new RunLoop(context, run, enclave, devices);
  restoreJitThresholds();
  collectGarbage();
  runLoop(
    context.system,
    () => loop.waiters(),
    () => loop.isDone(),
  );
  return loop.finish();
}

class RunLoop {
  #signal: StopSignal | undefined;
  readonly #exit: Waiter;
  readonly #signals: Waiter;
  readonly #list: Waiter[] = [];

  constructor(
    private readonly context: LaunchContext,
    private readonly run: EnclaveRun,
    private readonly enclave: Enclave,
    private readonly devices: readonly Device[],
  ) {
    const { signals } = context.cancellation;
    const enclaveFd = () => (run.state === "running" && !run.hasExited ? enclave.fd : -1);
    this.#exit = waiter(enclaveFd, 0, () => this.#enclaveExited());
    this.#signals = waiter(
      () => signals.fd,
      POLLIN,
      () => {
        this.#signal ??= signals.next();
      },
    );
  }

  waiters(): readonly Waiter[] {
    const list = this.#list;
    list.length = 0;
    list.push(this.#signals, this.#exit);
    for (const device of this.devices) device.addWaiters(list);
    return list;
  }

  #enclaveExited(): void {
    this.run.exited();
    for (const device of this.devices) device.enclaveExited?.();
  }

  /** Called after each waiter: whether the loop ends here. */
  isDone(): boolean {
    const { run, enclave, devices } = this;
    if (this.#signal !== undefined || run.quitRequested) return true;
    if (!run.hasExited && devices.some((device) => device.requiresStop === true)) {
      this.#enclaveExited();
      enclave[Symbol.dispose]();
    }
    if (!run.hasExited) return false;
    // The reader of the console may be slow. The enclave's CPUs and memory are released before it has read everything.
    if (!devices.some((device) => device.isReceiving === true)) enclave[Symbol.dispose]();
    if (this.#isDelivering()) return false;
    if (!this.context.options.staysAfterEnd) return true;
    if (run.state === "running") this.#stay();
    return false;
  }

  #isDelivering(): boolean {
    return this.devices.some((device) => device.isDelivering === true);
  }

  /** -no-shutdown: the enclave's resources are released, and the monitors are still served. */
  #stay(): void {
    this.#endRun(true);
    this.context.report(`${this.#exitReport().message}; nitro keeps running (-no-shutdown)`);
    this.enclave[Symbol.dispose]();
  }

  #evidence(): ExitEvidence {
    let evidence: ExitEvidence = {};
    for (const device of this.devices) evidence = { ...evidence, ...device.exitEvidence?.() };
    return evidence;
  }

  #exitReport(): ExitReport {
    const { run } = this;
    const { debugMode } = this.context.options;
    const { elapsedMs, commandLine } = run;
    const { status, message } = describeExit({ ...this.#evidence(), debugMode, elapsedMs, commandLine });
    return { status, message: `the enclave (CID ${run.cid}) ${message}` };
  }

  /** Tells the devices that the run has ended: by the enclave's exit, or by a heartbeat that did not come. */
  #endRun(launcherStays: boolean): void {
    if (this.#evidence().heartbeat === "missed") {
      return this.#announce({ guest: false, reason: "host-error", launcherStays });
    }
    const crashed = this.#exitReport().status === EXIT.crashed;
    this.#announce({ guest: true, reason: crashed ? "guest-panic" : "guest-shutdown", launcherStays });
  }

  #announce(end: RunEnd): void {
    this.run.shutDown();
    for (const device of this.devices) device.runEnded?.(end);
  }

  /** Reports how the run ended. Returns the exit status. */
  finish(): number {
    const { run, devices } = this;
    const { report, options } = this.context;
    const { state } = run;
    const request = this.#signal ?? "quit";
    if (this.#signal !== undefined && !run.hasExited) {
      this.#announce({ guest: false, reason: "host-signal", launcherStays: false });
    }
    if (state === "shutdown") return EXIT.stopped;
    if (state === "prelaunch") {
      report(`${request}: stopped before the enclave was started`);
      return EXIT.stopped;
    }
    if (!run.hasExited) {
      for (const device of devices) device.flush?.();
      report(`${request}: stopping the enclave`);
      return EXIT.stopped;
    }
    if (this.#isDelivering() && (this.#signal !== undefined || run.quitRequested)) {
      report(`${request}: the enclave has exited; not waiting for the rest of its console`);
    }
    this.#endRun(false);
    const { status, message } = this.#exitReport();
    report(message);
    return options.staysAfterEnd ? EXIT.stopped : status;
  }
}
