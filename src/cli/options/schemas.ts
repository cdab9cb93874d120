/**
 * What each option may say, as zod schemas: text in, checked values out, before the first system call. The messages
 * are QEMU's where QEMU has one.
 *
 * A launch pays for what it loads and for what it calls first: these are zod's core, without the methods that its
 * fronts add to each schema; a schema is made when its option is there, and is one transform, of a text or of the texts
 * of an object. (zod's own objects cost a quarter of a millisecond more.)
 */
import * as z from "zod/v4/core";
import { parseOnOff, parseSize, parseUint64 } from "../numbers.ts";

// zod would compile its objects, which others here and the monitors have, with `new Function`.
z.config({ jitless: true });

type Issues = z.ParsePayload["issues"];

/** A schema that is one function, which adds what is wrong with the input to the issues. */
function transform<I, O>(read: (input: I, issues: Issues) => O): z.$ZodType<O, I> {
  const schema = new z.$ZodTransform({
    type: "transform",
    transform: (input, { issues }) => read(input as I, issues),
  });
  return schema as z.$ZodTransform<O, I>;
}

/** What `parse` makes of a text; a Refused that it throws is an issue. */
function parsed<T>(parse: (text: string) => T, text: string, path: string[], issues: Issues): T | undefined {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    issues.push({ code: "custom", message: error.message, input: text, path });
    return undefined;
  }
}

/** Text that `parse` turns into a value; a Refused that it throws is the schema's message. */
export function field<T>(parse: (text: string) => T): z.$ZodType<T, string> {
  return transform((text, issues) => parsed(parse, text, [], issues) as T);
}

/** Properties that an option may have, and what reads each: a function for field. */
export type Readers = Readonly<Record<string, (text: string) => unknown>>;

/** What is read of them: those that are there. */
export type Values<R extends Readers> = { readonly [K in keyof R]?: ReturnType<R[K]> };

/** An object of these properties and no others, all of them text. */
export function objectOf<R extends Readers>(
  readers: R,
): z.$ZodType<Values<R>, Readonly<Record<string, string>>> {
  return transform((input, issues) => {
    const values: Record<string, unknown> = {};
    for (const [key, read] of Object.entries(readers)) {
      const text = input[key];
      if (text !== undefined) values[key] = parsed(read, text, [key], issues);
    }
    const keys = Object.keys(input).filter((key) => !Object.hasOwn(readers, key));
    if (keys.length > 0) issues.push({ code: "unrecognized_keys", keys, input });
    return values as Values<R>;
  });
}

/** Why a field's text is refused. */
export class Refused extends Error {}

/** Throws Refused with `message` unless something holds. */
export function refuseUnless(holds: boolean, message: string): void {
  if (!holds) throw new Refused(message);
}

/** A value that is there; throws Refused with `message` where it is not. */
export function given<T>(value: T | undefined, message: string): T {
  if (value === undefined) throw new Refused(message);
  return value;
}

/** CIDs of the local machine, the host and the parent (uapi/linux/vm_sockets.h; the driver adds 3). */
const RESERVED_CIDS = [1n, 2n, 3n];
const MOST_CID = 0xfffffffen;

function enclaveCid(text: string): bigint {
  const cid = given(parseUint64(text), "Parameter 'enclave-cid' expects uint64");
  const range = "use 4 to 4294967294, or 0 to have one chosen";
  refuseUnless(!RESERVED_CIDS.includes(cid), `CIDs 1, 2 and 3 are taken: ${range}`);
  refuseUnless(cid <= MOST_CID, `a CID has 32 bits: ${range}`);
  return cid;
}

const HEARTBEATS = ["auto", "require", "none"] as const;
/** Nobody waits for longer than a day. */
const MOST_HEARTBEAT_SECONDS = 86_400n;

function heartbeatPolicy(text: string) {
  const policy = HEARTBEATS.find((name) => name === text);
  return given(policy, `Parameter 'heartbeat' does not accept value '${text}': use ${HEARTBEATS.join(", ")}`);
}

function heartbeatSeconds(text: string): number {
  const seconds = parseUint64(text) ?? 0n;
  const range = `Parameter 'heartbeat-timeout' expects seconds, 1 to ${MOST_HEARTBEAT_SECONDS}`;
  refuseUnless(seconds > 0n && seconds <= MOST_HEARTBEAT_SECONDS, range);
  return Number(seconds);
}

function count(name: string) {
  return (text: string): bigint => {
    const value = given(parseUint64(text), `Parameter '${name}' expects uint64`);
    refuseUnless(value > 0n, "Invalid CPU topology: CPU topology parameters must be greater than zero");
    refuseUnless(value <= 4096n, `Parameter '${name}' is beyond what any machine has`);
    return value;
  };
}

/** A boolean of this name. */
export function onOff(name: string) {
  return (text: string): boolean => given(parseOnOff(text), `Parameter '${name}' expects 'on' or 'off'`);
}

function nitroOnly(message: string) {
  return (text: string): void => refuseUnless(text === "nitro", message);
}

const ACCEL = {
  accel: nitroOnly("an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default"),
  "debug-mode": onOff("debug-mode"),
  "enclave-cid": enclaveCid,
  heartbeat: heartbeatPolicy,
  "heartbeat-timeout": heartbeatSeconds,
};

/** -accel nitro,… */
export function accelSchema() {
  return objectOf(ACCEL);
}

function machineType(type: string): void {
  refuseUnless(
    type !== "nitro-enclave",
    "that is QEMU's machine that emulates an enclave on any host: run it with qemu-system-x86_64 -M nitro-enclave; " +
      "nitro launches real ones with -M nitro",
  );
  refuseUnless(type === "nitro", "unsupported machine type; use -M nitro, which is the default");
}

const MACHINE = {
  type: machineType,
  accel: nitroOnly("an enclave runs on the Nitro hypervisor: use accel=nitro, which is the default"),
};

/** -machine nitro,… */
export function machineSchema() {
  return objectOf(MACHINE);
}

function fixedMemory(): void {
  refuseUnless(false, "an enclave's memory is fixed: it takes no slots and no maxmem");
}

const MEMORY = {
  size(text: string): number {
    const message = "Parameter 'size' expects a size: a number with k, M, G, T, P or E, in MiB without one";
    return given(parseSize(text, "M"), message);
  },
  slots: fixedMemory,
  maxmem: fixedMemory,
};

/** -m */
export function memorySchema() {
  return objectOf(MEMORY);
}

/** A level of QEMU's topology that an enclave has one of. */
function onlyOne(name: string) {
  return (text: string): void =>
    refuseUnless(text === "1", `an enclave's CPUs have no ${name}: leave it out`);
}

const SMP = {
  cpus: count("cpus"),
  sockets: count("sockets"),
  cores: count("cores"),
  threads: count("threads"),
  maxcpus: count("maxcpus"),
  dies: onlyOne("dies"),
  clusters: onlyOne("clusters"),
  modules: onlyOne("modules"),
  books: onlyOne("books"),
  drawers: onlyOne("drawers"),
};

/** -smp */
export function smpSchema() {
  return objectOf(SMP);
}

function printableName(what: string) {
  return (text: string): string => {
    const printable = /^[\x20-\x7e]{1,128}$/.test(text);
    refuseUnless(printable, `${what} has 1 to 128 printable ASCII characters`);
    return text;
  };
}

const NAME = {
  guest: printableName("a name"),
  process: printableName("a process name"),
  // Names for QEMU's threads; nitro's do nothing of their own, so there is nothing to be named.
  "debug-threads": onOff("debug-threads"),
};

/** -name */
export function nameSchema() {
  return objectOf(NAME);
}

/** Text of a file's name: something, and no NUL that C would end it at. */
export function filePath(path: string): string {
  refuseUnless(path !== "", "expects the name of a file");
  refuseUnless(!path.includes("\0"), "a file's name has no NUL in it");
  return path;
}

/** A file's name. */
export function pathSchema() {
  return field(filePath);
}

/** -append: it may be empty. 2048 bytes is the most that x86 and arm64 kernels take (COMMAND_LINE_SIZE). */
export function commandLineSchema() {
  return field((text) => {
    refuseUnless(!text.includes("\0"), "a command line has no NUL in it");
    const { length } = new TextEncoder().encode(text);
    refuseUnless(length < 2048, `it has ${length} bytes; a kernel takes a command line of at most 2047`);
    return text;
  });
}

/** -cpu */
export function cpuSchema() {
  return field((model) =>
    refuseUnless(model === "host", "an enclave's CPUs are the host's own: use -cpu host, or leave it out"),
  );
}

/** -display */
export function displaySchema() {
  return field((type) =>
    refuseUnless(type === "none", "an enclave has no display: use -display none, or leave it out"),
  );
}

/** The first thing that a schema refused: where in the object (undefined for the whole), and what to say. */
export interface Complaint {
  readonly key: string | undefined;
  readonly unknownKey: boolean;
  readonly message: string;
}

/** Checks `input`: the value, or the first complaint. */
export function check<S extends z.$ZodType>(
  schema: S,
  input: unknown,
): { value: z.output<S> } | { complaint: Complaint } {
  const result = z.safeParse(schema, input);
  if (result.success) return { value: result.data };
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") {
    return { complaint: { key: issue.keys[0], unknownKey: true, message: "" } };
  }
  const [key] = issue?.path ?? [];
  const complaint = {
    key: key === undefined ? undefined : String(key),
    unknownKey: false,
    message: issue?.message ?? "",
  };
  return { complaint };
}
