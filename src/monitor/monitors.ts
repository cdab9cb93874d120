/** All monitors of a launch: made for their character devices, told of events, polled. */
import type { Chardev } from "../chardev/chardev.ts";
import type { Waiter } from "../sys/poll.ts";
import type { Arguments, Surroundings } from "./command.ts";
import { HmpMonitor } from "./hmp.ts";
import { runLine } from "./hmp-line.ts";
import type { MachineView } from "./machine-view.ts";
import { QmpMonitor } from "./qmp.ts";

/** A monitor, whichever its language. */
export interface Monitor {
  announce(event: string, data: Arguments | undefined, atMicroseconds: number): void;
  /** Says what can be said without waiting. */
  flush(): void;
  addWaiters(list: Waiter[]): void;
}

/** How a monitor speaks. */
export interface MonitorMode {
  readonly mode: "readline" | "control";
  /** With control: JSON over several lines. */
  readonly pretty: boolean;
}

/** The monitors. */
export class Monitors {
  readonly #all: Monitor[] = [];
  readonly #around: Surroundings;

  constructor(machine: MachineView) {
    this.#around = {
      machine,
      announce: (event, data) => this.announce(event, data),
      runLine: (line) => runLine(this.#around, line),
    };
  }

  /** Serves a character device from now on. */
  add(line: Chardev, { mode, pretty }: MonitorMode): void {
    const monitor =
      mode === "control" ? new QmpMonitor(this.#around, line, pretty) : new HmpMonitor(this.#around, line);
    this.#all.push(monitor);
    line.attach(monitor);
  }

  /** Tells every client of an event, with the time of day. */
  announce(event: string, data?: Arguments): void {
    const now = Date.now() * 1000;
    for (const monitor of this.#all) monitor.announce(event, data, now);
  }

  /** The end: says what can still be said without waiting. */
  flush(): void {
    for (const monitor of this.#all) monitor.flush();
  }

  addWaiters(list: Waiter[]): void {
    for (const monitor of this.#all) monitor.addWaiters(list);
  }
}
