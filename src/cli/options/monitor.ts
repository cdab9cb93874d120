/**
 * The users of character devices: -serial for the console, -monitor, -qmp, -qmp-pretty and -mon for the monitors, and
 * what -nographic, -nodefaults and -daemonize change. The result is one list of devices with their users.
 */
import type { ChardevSpec } from "../../chardev/chardev.ts";
import type { LaunchOptions, MonitorSpec, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { chardevOptions } from "./chardev.ts";
import { OBJECT, objectOf } from "./object.ts";
import { checkProperties, type ParsedOption, type ParsedOptions, typedText } from "./parsed-options.ts";
import { type DeviceTarget, readTarget, TARGETS } from "./target.ts";
import { identifier, integer, oneOf, onOff, text } from "./values.ts";

/** -serial */
export const SERIAL = {
  name: "serial",
  argument: "TARGET",
  help: `the debug console: ${TARGETS}`,
  default: "stdio",
  repeats: "refuse",
} as const;

/** -monitor */
export const MONITOR = {
  name: "monitor",
  argument: "TARGET",
  help: "a monitor for people (HMP); the targets are those of -serial",
  repeats: "append",
} as const;

/** -qmp */
export const QMP = {
  name: "qmp",
  argument: "TARGET",
  help: "a monitor for programs (QMP); the targets are those of -serial",
  repeats: "append",
} as const;

/** -qmp-pretty */
export const QMP_PRETTY = {
  name: "qmp-pretty",
  argument: "TARGET",
  help: "like -qmp, with indented JSON",
  repeats: "append",
} as const;

/** -mon */
export const MON = {
  name: "mon",
  argument: "[chardev=]ID[,mode=readline|control][,pretty=on|off]",
  help: "a monitor on a character device",
  repeats: "append",
  properties: {
    // The group's own name in a -readconfig file.
    id: { schema: text },
    chardev: { schema: identifier, help: "the id of the -chardev" },
    mode: { schema: () => oneOf(["readline", "control"]), help: "HMP or QMP", default: "readline" },
    pretty: { schema: onOff, help: "with mode=control: indented JSON", default: "off" },
  },
  syntax: { implied: "chardev", shortBooleans: true },
  group: { name: "mon", hasId: true },
} as const;

/** -nographic */
export const NOGRAPHIC = {
  name: "nographic",
  help: "console and monitor share stdio: Ctrl-A h lists the keys",
} as const;

/** -echr */
export const ECHR = {
  name: "echr",
  argument: "CHAR",
  help: "the key that starts the commands of a shared stdio, as a number",
  default: "1, Ctrl-A",
  schema: () => integer(1, 255, "a number, 1 to 255, such as 0x14 for Ctrl-T"),
} as const;

/** -nodefaults */
export const NODEFAULTS = {
  name: "nodefaults",
  help: "no default serial port and monitor: no console without -serial",
} as const;

type Frontends = Pick<LaunchOptions, "serial" | "chardevs" | "monitors" | "escapeByte">;

/** Reads these options. Throws UserError. */
export function frontendOptions(parsed: ParsedOptions, daemonize: boolean): Frontends {
  const plan = new FrontendPlan(chardevOptions(parsed));
  for (const option of parsed.all) plan.add(option);
  const monitors = [MONITOR, QMP, QMP_PRETTY, MON];
  plan.addDefaults({
    console: !parsed.has(NODEFAULTS),
    monitor:
      parsed.has(NOGRAPHIC) &&
      !parsed.has(NODEFAULTS) &&
      !monitors.some((option) => parsed.has(option)) &&
      plan.monitors.length === 0,
    typed: parsed.has(NOGRAPHIC) ? "-nographic" : "-serial stdio",
    daemonize,
  });
  checkUsers(plan);
  checkStdio(plan.chardevs, daemonize);
  checkPassedSockets(plan.chardevs);
  const escapeByte = parsed.value(ECHR);
  return { serial: plan.serial, chardevs: plan.chardevs, monitors: plan.monitors, escapeByte };
}

/** QEMU's names for devices that have no id of their own. */
const CONSOLE_LABEL = "serial0";
const monitorLabel = (index: number) => `compat_monitor${index}`;

/** The devices, and the console and monitors that use them, collected while the command line is read. */
class FrontendPlan {
  readonly chardevs: ChardevSpec[] = [];
  readonly monitors: MonitorSpec[] = [];
  #serial: Typed<string | undefined> | undefined;

  constructor(chardevs: readonly ChardevSpec[]) {
    for (const device of chardevs) this.#addDevice(device);
  }

  /** The console's device; undefined with -nodefaults and no -serial. */
  get serial(): Typed<string | undefined> {
    return this.#serial ?? { value: undefined, typed: "-nodefaults" };
  }

  /** Adds the console or monitor of an option, if it names one. Throws UserError. */
  add(option: ParsedOption): void {
    switch (option.name) {
      case SERIAL.name:
        return this.#addSerial(option);
      case MONITOR.name:
        return this.#addMonitor(option, "readline", false);
      case QMP.name:
        return this.#addMonitor(option, "control", false);
      case QMP_PRETTY.name:
        return this.#addMonitor(option, "control", true);
      case MON.name:
        return this.#addMon(option);
      case OBJECT.name:
        return this.#addMonitorObject(option);
    }
  }

  /** Adds the devices that QEMU creates by default. */
  addDefaults(wanted: {
    readonly console: boolean;
    readonly monitor: boolean;
    readonly daemonize: boolean;
    /** The option that messages about these devices name. */
    readonly typed: string;
  }): void {
    const { typed } = wanted;
    const monitor = { mode: "readline", pretty: false, typed } as const;
    if (this.#serial !== undefined) {
      if (!wanted.monitor || this.monitors.length > 0) return;
      this.monitors.push({ ...monitor, chardev: this.#addDevice(stdio(monitorLabel(0), typed)) });
    } else if (wanted.daemonize && wanted.console) {
      // A daemon has no standard output. The console is read all the same, to detect how the enclave exits.
      const device: ChardevSpec = { ...stdio(CONSOLE_LABEL, "-daemonize"), backend: { kind: "null" } };
      this.#serial = { value: this.#addDevice(device), typed: device.typed };
    } else if (wanted.console) {
      const shared: Partial<ChardevSpec> = wanted.monitor
        ? { mux: true, backend: { kind: "stdio", signal: false } }
        : {};
      const chardev = this.#addDevice({ ...stdio(CONSOLE_LABEL, typed), ...shared });
      this.#serial = { value: chardev, typed };
      if (wanted.monitor) this.monitors.push({ ...monitor, chardev });
    }
  }

  #addDevice(device: ChardevSpec): string {
    const { label, typed } = device;
    if (this.chardevs.some((other) => other.label === label))
      throw new UserError(typed, `Duplicate ID '${label}' for chardev`, "give each its own id=");
    this.chardevs.push(device);
    return label;
  }

  #addSerial(option: ParsedOption): void {
    const typed = typedText(option);
    if (this.#serial !== undefined) {
      const why = `an enclave has one serial port, and ${this.#serial.typed} uses it`;
      throw new UserError(typed, why, "leave one of them out");
    }
    const target = readTarget(option, CONSOLE_LABEL);
    this.#serial = { value: this.#labelOf(target), typed };
    if (target.kind === "device" && target.withMonitor)
      this.monitors.push({ chardev: CONSOLE_LABEL, mode: "readline", pretty: false, typed });
  }

  #addMonitor(option: ParsedOption, mode: MonitorSpec["mode"], pretty: boolean): void {
    const chardev = this.#labelOf(readTarget(option, monitorLabel(this.monitors.length)));
    if (chardev !== undefined) this.monitors.push({ chardev, mode, pretty, typed: typedText(option) });
  }

  #labelOf(target: DeviceTarget): string | undefined {
    if (target.kind === "none") return undefined;
    return target.kind === "chardev" ? target.label : this.#addDevice(target.device);
  }

  #addMon(option: ParsedOption): void {
    const typed = typedText(option);
    const { chardev, mode = "readline", pretty = false } = checkProperties(MON, MON.properties, [option]);
    if (chardev === undefined)
      throw new UserError(typed, "names no chardev", "use -mon chardev=ID,mode=control");
    this.monitors.push({ chardev, mode, pretty, typed });
  }

  #addMonitorObject(option: ParsedOption): void {
    const hmp = objectOf(option, "monitor-hmp");
    if (hmp !== undefined) {
      const { chardev } = hmp.values;
      this.monitors.push({ chardev, mode: "readline", pretty: false, typed: hmp.typed });
    }
    const qmp = objectOf(option, "monitor-qmp");
    if (qmp !== undefined) {
      const { chardev, pretty = false } = qmp.values;
      this.monitors.push({ chardev, mode: "control", pretty, typed: qmp.typed });
    }
  }
}

function stdio(label: string, typed: string): ChardevSpec {
  return { label, typed, backend: { kind: "stdio", signal: true }, mux: false, log: undefined };
}

/** Throws UserError if a console's or monitor's device does not exist, or if two use a device without mux=on. */
function checkUsers({ serial, chardevs, monitors }: Omit<Frontends, "escapeByte">): void {
  const console = serial.value === undefined ? [] : [{ chardev: serial.value, typed: serial.typed }];
  const used = new Set<string>();
  for (const { chardev, typed } of [...console, ...monitors]) {
    const device = chardevs.find(({ label }) => label === chardev);
    if (device === undefined)
      throw new UserError(typed, `chardev "${chardev}" not found`, `add -chardev stdio,id=${chardev}`);
    if (used.has(chardev) && !device.mux) {
      const hint = `add mux=on to share it: ${device.typed},mux=on`;
      throw new UserError(typed, `chardev '${chardev}' is already in use`, hint);
    }
    used.add(chardev);
  }
}

function checkStdio(chardevs: readonly ChardevSpec[], daemonize: boolean): void {
  const [first, second] = chardevs.filter(({ backend }) => backend.kind === "stdio");
  if (first !== undefined && daemonize) {
    throw new UserError(
      first.typed,
      "cannot use stdio with -daemonize",
      "use -serial file:PATH to keep the console; without -serial a daemon discards it",
    );
  }
  if (first !== undefined && second !== undefined) {
    const why = `cannot use stdio by multiple character devices: ${first.typed} uses it`;
    throw new UserError(second.typed, why, "use -serial mon:stdio to share it between console and monitor");
  }
}

/** Throws UserError if two devices use one passed socket: each would take a part of its input. */
function checkPassedSockets(chardevs: readonly ChardevSpec[]): void {
  const users = new Map<string, string>();
  for (const { backend, typed } of chardevs) {
    if (backend.kind !== "socket" || backend.address.kind !== "fd") continue;
    const { fd } = backend.address;
    if (!/^\d+$/.test(fd)) throw new UserError(typed, `Unable to parse FD number ${fd}`);
    const other = users.get(fd);
    if (other !== undefined) throw new UserError(typed, `${other} uses descriptor ${fd} already`);
    users.set(fd, typed);
  }
}
