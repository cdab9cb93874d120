/**
 * What each option may say, as zod schemas: text in, checked values out, before the first system call. The messages
 * are QEMU's where QEMU has one.
 *
 * A launch pays for what it loads: zod/mini is zod's own smaller front, a schema is made when its option is there, and
 * a field is one transform, for each of zod's objects costs a tenth of a millisecond to make.
 */
import * as z from "zod/mini";
import { parseOnOff, parseSize, parseUint64 } from "./numbers.ts";

// zod would compile its objects with `new Function`, which costs more than these few checks.
z.config({ jitless: true });

/** Text that `parse` turns into a value; a Refused that it throws is the schema's message. */
export function field<T>(parse: (text: string) => T) {
  return z.transform((text: string, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      context.issues.push({ code: "custom", message: error.message, input: text });
      return z.NEVER;
    }
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
  return z.optional(
    field((text) => {
      const value = given(parseUint64(text), `Parameter '${name}' expects uint64`);
      refuseUnless(value > 0n, "Invalid CPU topology: CPU topology parameters must be greater than zero");
      refuseUnless(value <= 4096n, `Parameter '${name}' is beyond what any machine has`);
      return value;
    }),
  );
}

function nitroOnly(message: string) {
  return z.optional(field((text) => refuseUnless(text === "nitro", message)));
}

/** -accel nitro,… */
export function accelSchema() {
  return z.strictObject({
    accel: nitroOnly("an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default"),
    "debug-mode": z.optional(
      field((text) => given(parseOnOff(text), "Parameter 'debug-mode' expects 'on' or 'off'")),
    ),
    "enclave-cid": z.optional(field(enclaveCid)),
    heartbeat: z.optional(field(heartbeatPolicy)),
    "heartbeat-timeout": z.optional(field(heartbeatSeconds)),
  });
}

function machineType(type: string): void {
  refuseUnless(
    type !== "nitro-enclave",
    "that is QEMU's machine that emulates an enclave on any host: run it with qemu-system-x86_64 -M nitro-enclave; " +
      "nitro launches real ones with -M nitro",
  );
  refuseUnless(type === "nitro", "unsupported machine type; use -M nitro, which is the default");
}

/** -machine nitro,… */
export function machineSchema() {
  return z.strictObject({
    type: z.optional(field(machineType)),
    accel: nitroOnly("an enclave runs on the Nitro hypervisor: use accel=nitro, which is the default"),
  });
}

/** -m */
export function memorySchema() {
  const message = "Parameter 'size' expects a size: a number with k, M, G, T, P or E, in MiB without one";
  const fixed = field(() =>
    refuseUnless(false, "an enclave's memory is fixed: it takes no slots and no maxmem"),
  );
  return z.strictObject({
    size: z.optional(field((text) => given(parseSize(text, "M"), message))),
    slots: z.optional(fixed),
    maxmem: z.optional(fixed),
  });
}

/** A level of QEMU's topology that an enclave has one of. */
function onlyOne(name: string) {
  return z.optional(
    field((text) => refuseUnless(text === "1", `an enclave's CPUs have no ${name}: leave it out`)),
  );
}

/** -smp */
export function smpSchema() {
  return z.strictObject({
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
  });
}

/** -name */
export function nameSchema() {
  const printable = /^[\x20-\x7e]{1,128}$/;
  return z.strictObject({
    guest: z.optional(
      field((text) => {
        refuseUnless(printable.test(text), "a name has 1 to 128 printable ASCII characters");
        return text;
      }),
    ),
    process: z.optional(
      field((text) => {
        refuseUnless(printable.test(text), "a process name has 1 to 128 printable ASCII characters");
        return text;
      }),
    ),
    // Names for QEMU's threads; nitro's do nothing of their own, so there is nothing to be named.
    "debug-threads": z.optional(
      field((text) => given(parseOnOff(text), "Parameter 'debug-threads' expects 'on' or 'off'")),
    ),
  });
}

/** Text of a file's name: something, and no NUL that C would end it at. */
export function pathSchema() {
  return field((path) => {
    refuseUnless(path !== "", "expects the name of a file");
    refuseUnless(!path.includes("\0"), "a file's name has no NUL in it");
    return path;
  });
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
export function check<S extends z.ZodMiniType>(
  schema: S,
  input: unknown,
): { value: z.output<S> } | { complaint: Complaint } {
  const result = schema.safeParse(input);
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
