/** The option table: every option of a launch, a row each, in the order of help. */
import { ACCEL } from "./accel.ts";
import { CHARDEV } from "./chardev.ts";
import { CPU, SMP } from "./cpu.ts";
import { TRACE, TRACE_FILE } from "./debug.ts";
import { ADD_FD } from "./descriptors.ts";
import { DISPLAY, HELP, NO_REBOOT, NO_USER_CONFIG, READCONFIG, VERSION, VGA } from "./general.ts";
import { APPEND, INITRD, KERNEL } from "./image.ts";
import { MACHINE } from "./machine.ts";
import { MEMORY } from "./memory.ts";
import { ECHR, MON, MONITOR, NODEFAULTS, NOGRAPHIC, QMP, QMP_PRETTY, SERIAL } from "./monitor.ts";
import { MESSAGES, NAME, UUID } from "./name.ts";
import { OBJECT } from "./object.ts";
import type { Option } from "./option.ts";
import { DAEMONIZE, NO_SHUTDOWN, PAUSED, PIDFILE, RUN_WITH, SANDBOX } from "./process.ts";

/** Options that belong together, with their title in help. */
interface OptionGroup {
  readonly title: string;
  readonly options: readonly Option[];
}

/** The table. */
export const OPTION_GROUPS: readonly OptionGroup[] = [
  { title: "Image", options: [KERNEL, INITRD, APPEND] },
  { title: "Accelerator and machine", options: [ACCEL, MACHINE] },
  { title: "Memory and vCPUs", options: [MEMORY, OBJECT, SMP, CPU] },
  {
    title: "Console and monitors",
    options: [SERIAL, NOGRAPHIC, MONITOR, QMP, QMP_PRETTY, MON, CHARDEV, ADD_FD, ECHR, NODEFAULTS],
  },
  { title: "Name and messages", options: [NAME, UUID, MESSAGES] },
  {
    title: "Process",
    options: [DAEMONIZE, PIDFILE, RUN_WITH, SANDBOX, PAUSED, NO_SHUTDOWN],
  },
  { title: "Tracing", options: [TRACE, TRACE_FILE] },
  { title: "Configuration and help", options: [READCONFIG, VERSION, HELP] },
  { title: "Accepted for compatibility", options: [DISPLAY, VGA, NO_REBOOT, NO_USER_CONFIG] },
];

/** All options of a launch. */
export const LAUNCH_OPTIONS: readonly Option[] = allOptions();

function allOptions(): Option[] {
  const all: Option[] = [];
  for (const { options } of OPTION_GROUPS) all.push(...options);
  return all;
}

/** Returns the option of a name or alias, without dashes. */
export function findOption(name: string): Option | undefined {
  return LAUNCH_OPTIONS.find((option) => option.name === name || option.alias === name);
}
