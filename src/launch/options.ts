/** What a launch is asked for: every value checked, nothing left to be guessed below. */
import type { ChardevSpec } from "../chardev/chardev.ts";
import type { CommandLineOptionInfo } from "../monitor/machine-view.ts";
import type { TraceFlag } from "../sys/trace.ts";

/**
 * The word before all others by which -daemonize tells the program that it starts anew that it is the daemon, and
 * which descriptor it reports to. Only who writes the command line can say it: nothing in the environment can.
 */
export const HANDED_OVER = "--daemon-status-fd=";

/** A value with the option as the user typed it, for messages. */
export interface Typed<T> {
  readonly value: T;
  /** Such as `-m 512M`. */
  readonly typed: string;
}

/** Whether and how long the enclave's heartbeat is waited for. */
export interface HeartbeatOptions {
  /** auto: it may stay away; require: an enclave without one is stopped; none: nobody listens. */
  readonly policy: "auto" | "require" | "none";
  /** undefined: AWS's time-out, by the sizes of image and memory. */
  readonly timeoutMs: number | undefined;
}

/** A monitor: on which character device, and how it speaks. */
export interface MonitorSpec {
  /** The device's label. */
  readonly chardev: string;
  readonly mode: "readline" | "control";
  /** With control: JSON over several lines. */
  readonly pretty: boolean;
  readonly typed: string;
}

/** -object memory-backend-memfd, where -machine memory-backend= names it. */
export interface MemoryBackend {
  readonly id: string;
  /** The option as it was typed. */
  readonly typed: string;
  /** 2 MiB or 1 GiB; undefined where it is left to the planner. */
  readonly pageBytes: number | undefined;
  readonly policy: "default" | "preferred" | "bind" | "interleave";
  /** NUMA nodes; none with the default policy. */
  readonly hostNodes: readonly number[];
  /** prealloc-threads=: how many threads allocate and zero it; undefined where that is left to nitro. */
  readonly threads: number | undefined;
}

/** -run-with user=: a name of /etc/passwd, a user id there, or two ids that need not be there. */
export type Account =
  | { readonly name: string }
  | { readonly uid: number }
  | { readonly uid: number; readonly gid: number };

/** What the launcher's own process is to be like. */
export interface ProcessOptions {
  readonly daemonize: boolean;
  readonly user: Typed<Account> | undefined;
  readonly chroot: Typed<string> | undefined;
  readonly exitWithParent: boolean;
  readonly sandbox: boolean;
  /** -name process= */
  readonly processName: string | undefined;
}

/** How -msg has messages begin. */
export interface MessageOptions {
  readonly timestamp: boolean;
  readonly guestName: boolean;
}

/** The PCRs that an image decides: its content's, and that of its signing certificate. */
export type PcrIndex = 0 | 1 | 2 | 8;

/** What is asked of an image's PCRs. */
export interface MeasureOptions {
  /** -accel measure=on: they are told. */
  readonly told: boolean;
  /** -accel expect-pcr0= and its like: the values without which nothing is launched, in small letters. */
  readonly expected: readonly { readonly index: PcrIndex; readonly hex: string }[];
}

/** A whole launch. Sizes are in bytes. */
export interface LaunchOptions {
  readonly debugMode: boolean;
  /** 0 lets the hypervisor choose. */
  readonly enclaveCid: bigint;
  readonly heartbeat: HeartbeatOptions;
  /** undefined: by the image's size. */
  readonly memoryBytes: Typed<number> | undefined;
  /** undefined: one full core. */
  readonly vcpus: Typed<number> | undefined;
  /** -accel cpu-ids=: CPUs of the driver's pool, each once, in the order of the vCPUs; undefined: the driver picks. */
  readonly cpuIds: Typed<readonly number[]> | undefined;
  /** A kernel, or a whole EIF. */
  readonly kernel: Typed<string>;
  readonly initrd: Typed<string> | undefined;
  /** -M ramdisk=, in order: they come after -initrd's. */
  readonly ramdisks: readonly Typed<string>[];
  /** -M any-kernel=on: whatever -kernel names is launched. */
  readonly anyKernel: boolean;
  /** undefined: nobody asks, and nothing is measured. */
  readonly measure: MeasureOptions | undefined;
  readonly commandLine: Typed<string> | undefined;
  /** The label of the console's character device; undefined for none. */
  readonly serial: Typed<string | undefined>;
  readonly chardevs: readonly ChardevSpec[];
  readonly monitors: readonly MonitorSpec[];
  /** Reads a character device as -chardev spells it, for what is added later. Throws UserError. */
  readonly readChardev: (text: string, typed: string, label?: string) => ChardevSpec;
  /** Describes the options of a command line, for monitors. */
  readonly commandLineOptions: () => readonly CommandLineOptionInfo[];
  readonly pidFile: Typed<string> | undefined;
  readonly name: string | undefined;
  /** Small letters. */
  readonly uuid: string | undefined;
  /** -S: all is prepared, and the start waits for a monitor's `cont`. */
  readonly paused: boolean;
  /** -no-shutdown: the launcher stays when the enclave has ended. */
  readonly staysAfterEnd: boolean;
  /** undefined: nothing is said about the memory but its size. */
  readonly memoryBackend: MemoryBackend | undefined;
  /** undefined: an ordinary process. */
  readonly process: ProcessOptions | undefined;
  readonly messages: MessageOptions | undefined;
  /** Those of -readconfig. */
  readonly configFiles: readonly Typed<string>[];
  readonly trace: ReadonlySet<TraceFlag>;
  readonly traceFile: Typed<string> | undefined;
}

const PLAIN: readonly ChardevSpec["backend"]["kind"][] = ["stdio", "file", "null"];

/** Whether the console is all there is, and goes to a place of these. */
export function isPlain({ chardevs, monitors, serial }: LaunchOptions): boolean {
  return (
    monitors.length === 0 &&
    chardevs.every(
      ({ label, mux, log, backend }) =>
        label === serial.value && !mux && log === undefined && PLAIN.includes(backend.kind),
    )
  );
}
