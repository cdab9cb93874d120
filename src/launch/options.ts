/** The options of a launch, every value checked. */
import type { ChardevSpec } from "../chardev/chardev.ts";
import type { CommandLineOptionInfo } from "../monitor/machine-view.ts";
import type { TraceFlag } from "../sys/trace.ts";

/**
 * The first argument of the process that -daemonize starts: it makes that process the daemon, and names the descriptor
 * on which it reports its start. It is an argument because another program may have set the environment.
 */
export const HANDED_OVER = "--daemon-status-fd=";

/** A value with the option as the user typed it, for messages. */
export interface Typed<T> {
  readonly value: T;
  /** Such as `-m 512M`. */
  readonly typed: string;
}

/** Whether nitro waits for the enclave's heartbeat, and how long. */
export interface HeartbeatOptions {
  /** auto: it may be missing; require: an enclave without one is stopped; none: nitro does not listen. */
  readonly policy: "auto" | "require" | "none";
  /** undefined: AWS's timeout for the sizes of image and memory. */
  readonly timeoutMs: number | undefined;
  /** How long a launch waits for the port; undefined: as long as the process that holds it may hold it. */
  readonly waitMs: number | undefined;
}

/** A monitor: its character device and its protocol. */
export interface MonitorSpec {
  /** The character device's label. */
  readonly chardev: string;
  readonly mode: "readline" | "control";
  /** With mode control: indent the JSON. */
  readonly pretty: boolean;
  readonly typed: string;
}

/** A descriptor of -add-fd. */
export interface AddedFd {
  readonly fd: number;
  /** The number of its set; undefined: the first free one. */
  readonly set: number | undefined;
  readonly opaque: string | undefined;
  readonly typed: string;
}

/** The -object memory-backend-memfd that -machine memory-backend= names. */
export interface MemoryBackend {
  readonly id: string;
  /** The option as it was typed. */
  readonly typed: string;
  /** 2 MiB or 1 GiB; undefined: nitro chooses. */
  readonly pageBytes: number | undefined;
  readonly policy: "default" | "preferred" | "bind" | "interleave";
  /** NUMA nodes; none with the default policy. */
  readonly hostNodes: readonly number[];
  /** prealloc-threads=: the threads that allocate and zero it; undefined: nitro chooses. */
  readonly threads: number | undefined;
}

/** -run-with user=: a name in /etc/passwd, a user id in it, or two ids that need not be in it. */
export type Account =
  | { readonly name: string }
  | { readonly uid: number }
  | { readonly uid: number; readonly gid: number };

/** Options about the launcher's own process. */
export interface ProcessOptions {
  readonly daemonize: boolean;
  readonly user: Typed<Account> | undefined;
  readonly chroot: Typed<string> | undefined;
  readonly exitWithParent: boolean;
  readonly sandbox: boolean;
  /** -name process= */
  readonly processName: string | undefined;
}

/** -msg: what messages begin with. */
export interface MessageOptions {
  readonly timestamp: boolean;
  readonly guestName: boolean;
}

/** The PCRs that an image determines: 0 to 2 by its content, 8 by its signing certificate. */
export type PcrIndex = 0 | 1 | 2 | 8;

/** What to do with an image's PCRs. */
export interface MeasureOptions {
  /** -accel measure=on: print them. */
  readonly report: boolean;
  /** -accel expect-pcr0= to expect-pcr8=: the values that an image must have, in lower case. */
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
  /** -accel cpu-ids=: CPUs of the pool, each once, in the order of the vCPUs; undefined: the driver chooses. */
  readonly cpuIds: Typed<readonly number[]> | undefined;
  /** A kernel, or an EIF. */
  readonly kernel: Typed<string>;
  readonly initrd: Typed<string> | undefined;
  /** -M ramdisk=, in order, after -initrd's. */
  readonly ramdisks: readonly Typed<string>[];
  /** -M any-kernel=on: launch whatever file -kernel names. */
  readonly anyKernel: boolean;
  /** undefined: nothing is measured. */
  readonly measure: MeasureOptions | undefined;
  readonly commandLine: Typed<string> | undefined;
  /** The label of the console's character device; undefined for none. */
  readonly serial: Typed<string | undefined>;
  readonly chardevs: readonly ChardevSpec[];
  readonly monitors: readonly MonitorSpec[];
  /** -echr: the byte that starts a mux's commands; undefined: Ctrl-A. */
  readonly escapeByte: number | undefined;
  readonly addedFds: readonly AddedFd[];
  /** Reads a character device in -chardev's syntax, for monitor commands. Throws UserError. */
  readonly readChardev: (text: string, typed: string, label?: string) => ChardevSpec;
  /** Describes the options of a command line, for monitors. */
  readonly commandLineOptions: () => readonly CommandLineOptionInfo[];
  readonly pidFile: Typed<string> | undefined;
  readonly name: string | undefined;
  /** In lower case. */
  readonly uuid: string | undefined;
  /** -S: prepare everything, and wait for a monitor's `cont` before the start. */
  readonly paused: boolean;
  /** -no-shutdown: the launcher stays after the enclave has exited. */
  readonly staysAfterEnd: boolean;
  /** undefined without -object: nitro chooses the pages. */
  readonly memoryBackend: MemoryBackend | undefined;
  /** undefined: an ordinary process. */
  readonly process: ProcessOptions | undefined;
  readonly messages: MessageOptions | undefined;
  /** The files of -readconfig. */
  readonly configFiles: readonly Typed<string>[];
  readonly trace: ReadonlySet<TraceFlag>;
  readonly traceFile: Typed<string> | undefined;
}

const PLAIN: readonly ChardevSpec["backend"]["kind"][] = ["stdio", "file", "null"];

/** Whether the console is the only character device, and needs no module that a plain launch does not load. */
export function isPlain({ chardevs, monitors, serial, addedFds }: LaunchOptions): boolean {
  return (
    monitors.length === 0 &&
    addedFds.length === 0 &&
    !chardevs.some(
      ({ label, mux, log, backend }) =>
        label !== serial.value || mux || log !== undefined || !PLAIN.includes(backend.kind),
    )
  );
}
