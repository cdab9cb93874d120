/** From occurrences to LaunchOptions: repeats merged as QEMU merges them, every value checked by its schema. */
import type { $ZodType, output } from "zod/v4/core";
import type { HeartbeatOptions, LaunchOptions, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { TRACE_FLAGS, type TraceFlag } from "../../sys/trace.ts";
import { type Occurrence, typedText } from "../argv.ts";
import { KeyvalError, type Keyvals, parseKeyvals } from "../keyval.ts";
import { readChardev } from "./chardev.ts";
import {
  accelSchema,
  check,
  commandLineSchema,
  cpuSchema,
  displaySchema,
  machineSchema,
  memorySchema,
  nameSchema,
  pathSchema,
  smpSchema,
} from "./schemas.ts";
import { serialOptions } from "./serial.ts";
import type { LaunchOptionName } from "./table.ts";

/** What more-options.ts reads, where any of it is asked for. */
export type MoreOptions = Pick<
  LaunchOptions,
  | "uuid"
  | "memoryBackend"
  | "process"
  | "messages"
  | "ramdisks"
  | "anyKernel"
  | "measure"
  | "cpuIds"
  | "configFiles"
>;

const NO_MORE: MoreOptions = {
  uuid: undefined,
  memoryBackend: undefined,
  process: undefined,
  messages: undefined,
  ramdisks: [],
  anyKernel: false,
  measure: undefined,
  cpuIds: undefined,
  configFiles: [],
};

/** Checks a whole command line. Throws UserError, naming the option as it was typed. */
export function launchOptions(occurrences: readonly Occurrence[], more = NO_MORE): LaunchOptions {
  const all = byName(occurrences);
  const path = (name: LaunchOptionName) => {
    checkedEach(pathSchema, all(name));
    // A path is never cut: messages show the whole of it.
    const last = all(name).at(-1);
    return last && { value: last.value, typed: last.typed ?? `${last.dashed} ${last.value}` };
  };
  const accel = accelerator(all("accel"));
  checkConsolePort(accel, all("accel"));
  properties(machineSchema, all("machine"), { implied: "type", device: "nitro-machine" });
  checkedEach(cpuSchema, all("cpu"));
  checkedEach(displaySchema, all("display"));
  const kernel = path("kernel");
  if (kernel === undefined) {
    throw new UserError(
      "-kernel",
      "missing; an enclave boots a kernel or an EIF",
      "nitro -kernel FILE [-initrd FILE] [-append TEXT]",
    );
  }
  return {
    debugMode: accel["debug-mode"] ?? false,
    enclaveCid: accel["enclave-cid"] ?? 0n,
    heartbeat: heartbeat(accel, all("accel")),
    memoryBytes: memory(all("m")),
    vcpus: vcpus(all("smp")),
    kernel,
    initrd: path("initrd"),
    commandLine: checkedEach(commandLineSchema, all("append")),
    ...serialOptions(occurrences, more.process?.daemonize ?? false),
    readChardev,
    pidFile: path("pidfile"),
    name: properties(nameSchema, all("name"), { implied: "guest" }).guest,
    paused: all("S").length > 0,
    staysAfterEnd: all("no-shutdown").length > 0,
    ...more,
    trace: traceFlags(all("d")),
    traceFile: path("D"),
  };
}

/** Gives the occurrences of each option, in their order. */
export function byName(
  occurrences: readonly Occurrence[],
): (name: LaunchOptionName) => readonly Occurrence[] {
  const lists = new Map<LaunchOptionName, Occurrence[]>();
  for (const occurrence of occurrences) {
    const list = lists.get(occurrence.name);
    if (list === undefined) lists.set(occurrence.name, [occurrence]);
    else list.push(occurrence);
  }
  return (name) => lists.get(name) ?? [];
}

/** The greatest CID whose console has a port: 10000 and the CID, below VMADDR_PORT_ANY. */
const MOST_DEBUG_CID = 0xfffffffe - 10_000;

function checkConsolePort(
  { "debug-mode": debugMode = false, "enclave-cid": cid = 0n }: ReturnType<typeof accelerator>,
  [typed]: readonly Occurrence[],
): void {
  if (!debugMode || cid <= MOST_DEBUG_CID || typed === undefined) return;
  throw new UserError(
    typedText(typed),
    `the console of CID ${cid} would be at port 10000 + ${cid}, and the last port is 4294967294`,
    `in debug mode use 4 to ${MOST_DEBUG_CID}, or 0 to have one chosen`,
  );
}

function accelerator(occurrences: readonly Occurrence[]) {
  const [first, second] = occurrences;
  if (first !== undefined && second !== undefined) {
    throw new UserError(
      typedText(second),
      `${typedText(first)} stands before it; QEMU would try the second where the first is missing, ` +
        "and nitro has but one",
      "give all properties in one -accel",
    );
  }
  return properties(accelSchema, occurrences, { implied: "accel", device: "nitro-accel" });
}

function heartbeat(
  accel: ReturnType<typeof accelerator>,
  occurrences: readonly Occurrence[],
): HeartbeatOptions {
  const { heartbeat: policy = "auto", "heartbeat-timeout": seconds } = accel;
  const [occurrence] = occurrences;
  if (policy === "none" && seconds !== undefined && occurrence !== undefined) {
    throw new UserError(
      typedText(occurrence),
      "heartbeat=none waits for no heartbeat, so there is no time-out",
      "leave out heartbeat-timeout, or use heartbeat=auto or heartbeat=require",
    );
  }
  return { policy, timeoutMs: seconds === undefined ? undefined : 1000 * seconds };
}

/**
 * Repeats of one option merge key by key, the last value of each counting.
 * @param names the implied key, and the QOM type that an unknown key is told to be missing from.
 */
export function properties<S extends $ZodType>(
  schema: () => S,
  occurrences: readonly Occurrence[],
  names: { readonly implied: string; readonly device?: string },
): Partial<output<S>> {
  // Where nothing is said, nothing is checked: no schema is made.
  if (occurrences.length === 0) return {};
  const merged: Record<string, string> = Object.create(null);
  const origin = new Map<string, Occurrence>();
  for (const occurrence of occurrences) {
    for (const [key, value] of Object.entries(keyvalsOf(occurrence, names.implied).values)) {
      merged[key] = value;
      origin.set(key, occurrence);
    }
  }
  const result = check(schema(), merged);
  if ("value" in result) return result.value;
  const { key, unknownKey, message } = result.complaint;
  const from = (key === undefined ? undefined : origin.get(key)) ?? occurrences[0];
  const unknown =
    names.device === undefined ? `Invalid parameter '${key}'` : `Property '${names.device}.${key}' not found`;
  const why = unknownKey ? unknown : message;
  throw new UserError(
    from === undefined ? names.implied : typedText(from),
    why,
    unknownKey ? propertyHint(from) : undefined,
  );
}

function propertyHint(occurrence: Occurrence | undefined): string | undefined {
  if (occurrence?.name === "accel") return "nitro -accel nitro,help lists the properties";
  if (occurrence?.name === "machine") return "nitro -M nitro,help lists the properties";
  return undefined;
}

/** What an occurrence says, by the grammar of keyval.ts. Throws UserError. */
export function keyvalsOf(occurrence: Occurrence, implied: string): Keyvals {
  try {
    return parseKeyvals(occurrence.value, implied);
  } catch (error) {
    throw error instanceof KeyvalError ? new UserError(typedText(occurrence), error.message) : error;
  }
}

/** Every occurrence is checked, the last one counts. */
export function checkedEach<S extends $ZodType>(
  schema: () => S,
  occurrences: readonly Occurrence[],
): Typed<output<S>> | undefined {
  let last: Typed<output<S>> | undefined;
  for (const occurrence of occurrences) {
    const result = check(schema(), occurrence.value);
    if ("complaint" in result) throw new UserError(typedText(occurrence), result.complaint.message);
    last = { value: result.value, typed: typedText(occurrence) };
  }
  return last;
}

function memory(occurrences: readonly Occurrence[]): Typed<number> | undefined {
  const { size } = properties(memorySchema, occurrences, { implied: "size", device: "memory" });
  const last = occurrences[occurrences.length - 1];
  // QEMU takes 0 as "the default", too.
  return size === undefined || size === 0 || last === undefined
    ? undefined
    : { value: size, typed: typedText(last) };
}

function vcpus(occurrences: readonly Occurrence[]): Typed<number> | undefined {
  const smp = properties(smpSchema, occurrences, { implied: "cpus", device: "smp" });
  const last = occurrences[occurrences.length - 1];
  if (last === undefined) return undefined;
  const typed = typedText(last);
  const shape = [smp.sockets, smp.cores, smp.threads].filter((part) => part !== undefined);
  const product = shape.length === 0 ? undefined : shape.reduce((all, part) => all * part, 1n);
  const cpus = smp.cpus ?? product;
  if (cpus === undefined) throw new UserError(typed, "says no number of CPUs", "-smp 2");
  // What is not said of sockets, cores and threads follows from the rest, if whole numbers can do it.
  if (product !== undefined && (shape.length === 3 ? product !== cpus : cpus % product !== 0n)) {
    throw new UserError(
      typed,
      `Invalid CPU topology: sockets × cores × threads is ${product}, cpus is ${cpus}`,
    );
  }
  if (smp.maxcpus !== undefined && smp.maxcpus !== cpus) {
    throw new UserError(
      typed,
      "an enclave's CPUs cannot be added later: maxcpus must be cpus",
      `-smp ${cpus}`,
    );
  }
  return { value: Number(cpus), typed };
}

/** Every occurrence is checked, the last one counts. */
function traceFlags(occurrences: readonly Occurrence[]): ReadonlySet<TraceFlag> {
  let flags = new Set<TraceFlag>();
  for (const occurrence of occurrences) {
    flags = new Set();
    for (const item of occurrence.value.split(",")) {
      if (!Object.hasOwn(TRACE_FLAGS, item)) {
        const known = Object.keys(TRACE_FLAGS).join(", ");
        throw new UserError(typedText(occurrence), `there is no trace item '${item}'`, `use ${known}`);
      }
      flags.add(item as TraceFlag);
    }
  }
  return flags;
}
