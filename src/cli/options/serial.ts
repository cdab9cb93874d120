/**
 * Who talks where: -serial, -monitor, -qmp, -qmp-pretty, -chardev, -mon, -nographic and -nodefaults make one list of
 * character devices, and tell which of them the console and the monitors use.
 */
import type { ChardevSpec } from "../../chardev/chardev.ts";
import type { MonitorSpec, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { type Occurrence, typedText } from "../argv.ts";
import { KeyvalError, parseKeyvals } from "../keyval.ts";
import { readChardev, readDeviceWord } from "./chardev.ts";
import { check, objectOf, onOff, refuseUnless } from "./schemas.ts";
import type { LaunchOptionName } from "./table.ts";

/** The devices and their users. */
export interface SerialOptions {
  /** The label of the console's device; undefined for none. */
  readonly serial: Typed<string | undefined>;
  readonly chardevs: readonly ChardevSpec[];
  readonly monitors: readonly MonitorSpec[];
}

const SERIAL = "serial0";

/** Where nothing is said about any of it: the console goes to standard output. */
const PLAIN: SerialOptions = {
  serial: { value: SERIAL, typed: "-serial stdio" },
  chardevs: [stdio(SERIAL, "-serial stdio", false)],
  monitors: [],
};

function stdio(label: string, typed: string, withMonitor: boolean): ChardevSpec {
  return { label, typed, backend: { kind: "stdio", signal: !withMonitor }, mux: withMonitor, log: undefined };
}

const MONITORS: readonly LaunchOptionName[] = ["monitor", "qmp", "qmp-pretty", "mon"];
const ALL: readonly LaunchOptionName[] = ["serial", "chardev", "nographic", "nodefaults", ...MONITORS];

/** A daemon has no standard output; the console is still read, for its end tells how the enclave ended. */
const DAEMON: SerialOptions = {
  serial: { value: SERIAL, typed: "-daemonize" },
  chardevs: [{ label: SERIAL, typed: "-daemonize", backend: { kind: "null" }, mux: false, log: undefined }],
  monitors: [],
};

/** Reads them all, in their order. Throws UserError. */
export function serialOptions(occurrences: readonly Occurrence[], daemonize = false): SerialOptions {
  const ours = occurrences.filter(({ name }) => ALL.includes(name));
  if (ours.length === 0) return daemonize ? DAEMON : PLAIN;
  const plan = new Plan(daemonize);
  for (const one of ours) if (one.name === "chardev") plan.device(readChardev(one.value, typedText(one)));
  for (const one of ours) plan.add(one);
  plan.defaults(ours.map(({ name }) => name));
  plan.check();
  return plan.options();
}

class Plan {
  readonly #chardevs: ChardevSpec[] = [];
  readonly #monitors: MonitorSpec[] = [];
  #serialPort: Typed<string | undefined> | undefined;
  #hasMonitor = false;

  constructor(private readonly daemonize: boolean) {}

  device(spec: ChardevSpec): string {
    if (this.#chardevs.find(({ label }) => label === spec.label) !== undefined) {
      throw new UserError(spec.typed, `Duplicate ID '${spec.label}' for chardev`, "give each its own id=");
    }
    this.#chardevs.push(spec);
    return spec.label;
  }

  add(occurrence: Occurrence): void {
    const { name } = occurrence;
    if (name === "serial") return this.#serial(occurrence);
    if (name === "monitor") return this.#monitor(occurrence, "readline", false);
    if (name === "qmp") return this.#monitor(occurrence, "control", false);
    if (name === "qmp-pretty") return this.#monitor(occurrence, "control", true);
    if (name === "mon") return this.#mon(occurrence);
  }

  #serial(occurrence: Occurrence): void {
    const typed = typedText(occurrence);
    if (this.#serialPort !== undefined) {
      throw new UserError(
        typed,
        `an enclave has one serial port, and ${this.#serialPort.typed} has it`,
        "leave one of them out",
      );
    }
    const word = readDeviceWord(occurrence.value, typed, SERIAL);
    if (word.kind === "none") this.#serialPort = { value: undefined, typed };
    else if (word.kind === "label") this.#serialPort = { value: word.label, typed };
    else {
      this.#serialPort = { value: this.device(word.spec), typed };
      if (word.withMonitor) this.#speak({ chardev: SERIAL, mode: "readline", pretty: false, typed });
    }
  }

  #monitor(occurrence: Occurrence, mode: MonitorSpec["mode"], pretty: boolean): void {
    const typed = typedText(occurrence);
    this.#hasMonitor = true;
    const word = readDeviceWord(occurrence.value, typed, `compat_monitor${this.#monitors.length}`);
    if (word.kind === "none") return;
    const chardev = word.kind === "label" ? word.label : this.device(word.spec);
    this.#speak({ chardev, mode, pretty, typed });
  }

  #mon(occurrence: Occurrence): void {
    const typed = typedText(occurrence);
    const { chardev, mode = "readline", pretty = false } = monValues(occurrence, typed);
    if (chardev === undefined) throw new UserError(typed, "says no chardev", "-mon chardev=ID,mode=control");
    this.#speak({ chardev, mode, pretty, typed });
  }

  #speak(spec: MonitorSpec): void {
    this.#hasMonitor = true;
    this.#monitors.push(spec);
  }

  /** What QEMU adds where it is not told otherwise. */
  defaults(names: readonly LaunchOptionName[]): void {
    const wanted = !names.includes("nodefaults");
    const nographic = names.includes("nographic");
    const monitorWanted = wanted && nographic && !this.#hasMonitor;
    if (this.daemonize && nographic) {
      throw new UserError(
        "-nographic",
        "cannot be used with -daemonize",
        "-display none can, and -serial file:PATH",
      );
    }
    if (this.#serialPort === undefined && wanted && this.daemonize) {
      const [device] = DAEMON.chardevs;
      if (device !== undefined) this.#serialPort = { value: this.device(device), typed: "-daemonize" };
    } else if (this.#serialPort === undefined && wanted) {
      const typed = nographic ? "-nographic" : "-serial stdio";
      this.#serialPort = { value: this.device(stdio(SERIAL, typed, monitorWanted)), typed };
      if (monitorWanted) this.#speak({ chardev: SERIAL, mode: "readline", pretty: false, typed });
    } else if (monitorWanted) {
      const typed = "-nographic";
      const spec = stdio(`compat_monitor${this.#monitors.length}`, typed, false);
      const keys: ChardevSpec = { ...spec, backend: { kind: "stdio", signal: true } };
      this.#speak({ chardev: this.device(keys), mode: "readline", pretty: false, typed });
    }
    this.#serialPort ??= { value: undefined, typed: "-nodefaults" };
  }

  check(): void {
    const users = [...(this.#serialPort?.value === undefined ? [] : [this.#consoleUse()]), ...this.#monitors];
    const before: typeof users = [];
    for (const user of users) {
      const { chardev, typed } = user;
      const device = this.#chardevs.find(({ label }) => label === chardev);
      if (device === undefined)
        throw new UserError(typed, `chardev "${chardev}" not found`, `-chardev stdio,id=${chardev}`);
      const taken = before.find((other) => other.chardev === chardev);
      before.push(user);
      if (taken !== undefined && !device.mux) {
        throw new UserError(
          typed,
          `chardev '${chardev}' is already in use`,
          `add mux=on to share it: ${device.typed},mux=on`,
        );
      }
    }
    const [first, second] = this.#chardevs.filter(({ backend }) => backend.kind === "stdio");
    if (first !== undefined && this.daemonize) {
      throw new UserError(
        first.typed,
        "cannot use stdio with -daemonize",
        "-serial file:PATH keeps the console; without -serial a daemon's goes nowhere",
      );
    }
    if (first !== undefined && second !== undefined) {
      const why = `cannot use stdio by multiple character devices: ${first.typed} has it`;
      throw new UserError(second.typed, why, "-serial mon:stdio shares it between console and monitor");
    }
  }

  #consoleUse(): { chardev: string; typed: string } {
    return { chardev: this.#serialPort?.value ?? "", typed: this.#serialPort?.typed ?? "" };
  }

  options(): SerialOptions {
    return {
      serial: this.#serialPort ?? PLAIN.serial,
      chardevs: this.#chardevs,
      monitors: this.#monitors,
    };
  }
}

const MON = {
  id: (text: string) => text, // its name in QEMU's option tables, where nobody asks for it
  chardev: (text: string) => text,
  mode(text: string): MonitorSpec["mode"] {
    refuseUnless(
      text === "readline" || text === "control",
      `Parameter 'mode' does not accept value '${text}'`,
    );
    return text === "control" ? "control" : "readline";
  },
  pretty: onOff("pretty"),
};

function monValues(occurrence: Occurrence, typed: string) {
  try {
    const values = { ...parseKeyvals(occurrence.value, "chardev").values };
    const result = check(objectOf(MON), values);
    if ("value" in result) return result.value;
    const { key, unknownKey, message } = result.complaint;
    throw new UserError(typed, unknownKey ? `Invalid parameter '${key}'` : message);
  } catch (error) {
    throw error instanceof KeyvalError ? new UserError(typed, error.message) : error;
  }
}
