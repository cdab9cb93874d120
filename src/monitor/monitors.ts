/** The monitors of a launch: one per character device that `-monitor`, `-qmp` or `-mon` names. */
import type { Chardev } from "../chardev/chardev.ts";
import type { Waiter } from "../sys/poll.ts";
import type { Arguments, CommandContext } from "./commands/command.ts";
import { runLine } from "./hmp/command-line.ts";
import { HmpMonitor } from "./hmp/monitor.ts";
import type { MachineView } from "./machine-view.ts";
import type { Monitor } from "./monitor.ts";
import { QmpMonitor } from "./qmp/session.ts";

/** A monitor's protocol. */
export interface MonitorMode {
  /** "readline" is HMP, "control" is QMP. */
  readonly mode: "readline" | "control";
  /** QMP only: indent the JSON. */
  readonly pretty: boolean;
}

/** All monitors of one launch. */
export class Monitors {
  readonly #monitors: Monitor[] = [];
  readonly #context: CommandContext;

  constructor(machine: MachineView) {
    this.#context = {
      machine,
      emitEvent: (event, data) => this.emitEvent(event, data),
      takeDescriptor: () => undefined,
      runLine: (line) => runLine(this.#context, line),
    };
  }

  /** Attaches a monitor to a character device. */
  add(chardev: Chardev, { mode, pretty }: MonitorMode): void {
    const context: CommandContext = { ...this.#context, takeDescriptor: () => chardev.takeDescriptor?.() };
    const monitor =
      mode === "control" ? new QmpMonitor(context, chardev, pretty) : new HmpMonitor(context, chardev);
    this.#monitors.push(monitor);
    chardev.attach(monitor);
  }

  /** Emits a QMP event on every monitor, with the time of day as its timestamp. */
  emitEvent(event: string, data?: Arguments): void {
    const now = Date.now() * 1000;
    for (const monitor of this.#monitors) monitor.emitEvent(event, data, now);
  }

  /** Writes as much queued output as fits without blocking; called before the launch ends. */
  flush(): void {
    for (const monitor of this.#monitors) monitor.flush();
  }

  addWaiters(list: Waiter[]): void {
    for (const monitor of this.#monitors) monitor.addWaiters(list);
  }
}
