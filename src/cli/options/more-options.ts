/**
 * Options that few launches have, loaded for those alone: the process and its messages, memory as an object, properties
 * of the machine that are options too, and files of options.
 */
import type { LaunchOptions, MemoryBackend, ProcessOptions, Typed } from "../../launch/options.ts";
import { SyscallError, UserError } from "../../sys/errors.ts";
import { type Occurrence, typedText } from "../argv.ts";
import { readConfig } from "../config-file.ts";
import { KeyvalError, type Keyvals, pairText, parseKeyvals } from "../keyval.ts";
import { checkCount, cpuOptions } from "./cpu-ids.ts";
import { type ImageProperty, imageOptions, isImageProperty, measureOptions } from "./image.ts";
import { byName, checkedEach, launchOptions, properties } from "./launch-options.ts";
import { memfdSchema, messageSchema, runWithSchema, sandboxSchema, uuidSchema } from "./process-schemas.ts";
import { check, nameSchema, pathSchema } from "./schemas.ts";
import type { LaunchOptionName } from "./table.ts";

/** Checks a whole command line that has some of these. @param readText reads a file. Throws UserError. */
export function moreLaunchOptions(
  typed: readonly Occurrence[],
  readText: (path: string) => string,
): LaunchOptions {
  const { rest, measure } = measureOptions(typed.flatMap((each) => configured(each, readText)));
  const picked = cpuOptions(rest);
  const { occurrences, backendId, image } = spreadMachine(picked.rest);
  const all = byName(occurrences);
  const process = processOptions(all);
  const backend = memoryBackend(all("object"), backendId);
  const messages = properties(messageSchema, all("msg").map(bareTimestamp), { implied: "timestamp" });
  const options = launchOptions(occurrences, {
    uuid: checkedEach(uuidSchema, all("uuid"))?.value,
    memoryBackend: backend?.backend,
    process,
    ...imageOptions(image),
    measure,
    cpuIds: picked.cpuIds,
    configFiles: typed
      .filter(({ name }) => name === "readconfig")
      .map((each) => ({ value: each.value, typed: typedText(each) })),
    messages: { timestamp: messages.timestamp ?? false, guestName: messages["guest-name"] ?? false },
  });
  checkCount(options.cpuIds, options.vcpus);
  const memoryBytes = backend === undefined ? options.memoryBytes : sizeOf(backend, options.memoryBytes);
  return { ...options, memoryBytes };
}

function configured(occurrence: Occurrence, readText: (path: string) => string): Occurrence[] {
  if (occurrence.name !== "readconfig") return [occurrence];
  const path = checkedEach(pathSchema, [occurrence])?.value ?? "";
  const typed = typedText(occurrence);
  try {
    return readConfig(readText(path), path, typed);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(typed, `Could not open '${path}': ${error.why}`);
  }
}

/** -msg timestamp, in QEMU's older way. */
function bareTimestamp(occurrence: Occurrence): Occurrence {
  const value = occurrence.value.replace(/(^|,)(timestamp|guest-name)(?=,|$)/g, "$1$2=on");
  return { ...occurrence, value, typed: typedText(occurrence) };
}

const SPREAD: Readonly<Record<string, LaunchOptionName>> = {
  kernel: "kernel",
  initrd: "initrd",
  append: "append",
};

interface Spread {
  readonly occurrences: readonly Occurrence[];
  readonly backendId: Typed<string> | undefined;
  readonly image: readonly ImageProperty[];
}

/** The machine's properties that are options of their own become these, where they stand: the last one counts. */
function spreadMachine(occurrences: readonly Occurrence[]): Spread {
  let backendId: Typed<string> | undefined;
  const image: ImageProperty[] = [];
  const spread = occurrences.flatMap((occurrence) => {
    if (occurrence.name !== "machine") return [occurrence];
    const typed = typedText(occurrence);
    const { dashed } = occurrence;
    const rest: string[] = [];
    const others: Occurrence[] = [];
    for (const [key, value] of pairListOf(occurrence, "type")) {
      const option = SPREAD[key];
      const own = `${dashed} ${pairText(key, value)}`;
      if (key === "memory-backend") backendId = { value, typed };
      else if (isImageProperty(key)) image.push({ key, value, occurrence });
      else if (option !== undefined) others.push({ name: option, dashed, value, typed: own });
      else if (key.startsWith("smp."))
        others.push({ name: "smp", dashed, value: pairText(key.slice(4), value), typed: own });
      else if (key === "memory.size")
        others.push({ name: "m", dashed, value: pairText("size", value), typed: own });
      else rest.push(pairText(key, value));
    }
    return rest.length === 0 ? others : [{ ...occurrence, value: rest.join(","), typed }, ...others];
  });
  return { occurrences: spread, backendId, image };
}

function pairsOf(occurrence: Occurrence, implied: string): Readonly<Record<string, string>> {
  return keyvalsOf(occurrence, implied).values;
}

/** Every pair in its order, repeats included. */
function pairListOf(occurrence: Occurrence, implied: string): Keyvals["pairs"] {
  return keyvalsOf(occurrence, implied).pairs;
}

function keyvalsOf(occurrence: Occurrence, implied: string): Omit<Keyvals, "help"> {
  const { value } = occurrence;
  try {
    return value.startsWith("{") ? jsonPairs(value) : parseKeyvals(value, implied, ["host-nodes"]);
  } catch (error) {
    if (!(error instanceof KeyvalError || error instanceof SyntaxError)) throw error;
    throw new UserError(typedText(occurrence), error.message);
  }
}

/** -object '{"qom-type": …}', which tools write; a list stands for repeats of its key. */
function jsonPairs(text: string): Omit<Keyvals, "help"> {
  const parsed: unknown = JSON.parse(text);
  const words = (value: unknown) => (value === true ? "on" : value === false ? "off" : String(value));
  const entries = Object.entries(Object(parsed));
  const each = ([key, value]: [string, unknown]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [key, words(one)]);
  return {
    values: Object.fromEntries(entries.map(([key, value]) => [key, words(value)])),
    pairs: entries.flatMap(each),
  };
}

function processOptions(all: (name: LaunchOptionName) => readonly Occurrence[]): ProcessOptions | undefined {
  const runWith = properties(runWithSchema, all("run-with"), { implied: "" });
  const sandbox = properties(sandboxSchema, all("sandbox"), { implied: "enable" });
  const { process: processName } = properties(nameSchema, all("name"), { implied: "guest" });
  const typed = all("run-with").map(typedText).at(-1) ?? "";
  const daemonize = all("daemonize").length > 0;
  const exitWithParent = runWith["exit-with-parent"] ?? false;
  if (daemonize && all("nographic").length > 0) {
    throw new UserError("-nographic", "cannot be used with -daemonize", "leave out -nographic");
  }
  if (daemonize && exitWithParent) {
    throw new UserError(
      typed,
      "exit-with-parent=on: a daemon's parent ends at once",
      "leave one of them out",
    );
  }
  const options: ProcessOptions = {
    daemonize,
    user: runWith.user === undefined ? undefined : { value: runWith.user, typed },
    chroot: runWith.chroot === undefined ? undefined : { value: runWith.chroot, typed },
    exitWithParent,
    sandbox: sandbox.enable ?? false,
    processName,
  };
  return Object.values(options).some((value) => value !== undefined && value !== false) ? options : undefined;
}

interface SizedBackend {
  readonly backend: MemoryBackend;
  readonly sizeBytes: number;
}

function memoryBackend(
  objects: readonly Occurrence[],
  asked: Typed<string> | undefined,
): SizedBackend | undefined {
  const made = objects.map(memfd);
  for (const { backend } of made) {
    const same = made.filter((other) => other.backend.id === backend.id);
    if (same.length > 1)
      throw new UserError(same[1]?.backend.typed ?? "", `duplicate property '${backend.id}'`);
    if (asked?.value !== backend.id) {
      const hint = `-machine memory-backend=${backend.id} makes it the enclave's memory`;
      throw new UserError(
        backend.typed,
        "nothing uses this object, and its memory would be held in vain",
        hint,
      );
    }
  }
  if (asked !== undefined && made.length === 0) {
    throw new UserError(
      asked.typed,
      `Memory backend '${asked.value}' not found`,
      `-object memory-backend-memfd,id=${asked.value},size=512M makes it`,
    );
  }
  return made[0];
}

function memfd(object: Occurrence): SizedBackend {
  const typed = typedText(object);
  const pairs = pairsOf(object, "qom-type");
  const type = pairs["qom-type"];
  if (type !== "memory-backend-memfd") {
    const other = type?.startsWith("memory-backend-")
      ? "an enclave's memory is an anonymous file of huge pages: use memory-backend-memfd"
      : `Parameter 'qom-type' does not accept value '${type ?? ""}'`;
    throw new UserError(typed, other, "nitro -object help lists what there is");
  }
  const result = check(memfdSchema(), { ...pairs });
  if ("complaint" in result) {
    const { key, unknownKey, message } = result.complaint;
    throw new UserError(typed, unknownKey ? `Property 'memory-backend-memfd.${key}' not found` : message);
  }
  const { id, size, policy = "default", ...rest } = result.value;
  const hostNodes = rest["host-nodes"] ?? [];
  if (id === undefined) throw new UserError(typed, "Parameter 'id' is missing");
  if (!/^[A-Za-z][\w.-]*$/.test(id)) throw new UserError(typed, "Parameter 'id' expects an identifier");
  if (size === undefined || size === 0) throw new UserError(typed, "Parameter 'size' is missing");
  if (policy === "default" && hostNodes.length > 0) {
    const why =
      "host-nodes must be empty for policy default, or you should explicitly specify a policy other";
    throw new UserError(
      typed,
      `${why} than default`,
      `policy=bind,host-nodes=${hostNodes.join(",host-nodes=")}`,
    );
  }
  if (policy !== "default" && hostNodes.length === 0) {
    throw new UserError(
      typed,
      `host-nodes must be set for policy ${policy}`,
      "ls -d /sys/devices/system/node/node*",
    );
  }
  const { hugetlbsize: pageBytes, "prealloc-threads": threads } = rest;
  return { backend: { id, typed, pageBytes, policy, hostNodes, threads }, sizeBytes: size };
}

function sizeOf({ backend, sizeBytes }: SizedBackend, asked: Typed<number> | undefined): Typed<number> {
  if (asked !== undefined && asked.value !== sizeBytes) {
    throw new UserError(
      asked.typed,
      `Machine memory size does not match the size of the memory backend (${backend.typed})`,
      "leave it out: the object says the size",
    );
  }
  return { value: sizeBytes, typed: backend.typed };
}

/** What a message begins with, by -msg: the time in UTC, and the enclave's name. */
export function messagePrefix({ messages, name }: LaunchOptions): string {
  const time = messages?.timestamp ? `${new Date().toISOString()} ` : "";
  return messages?.guestName && name !== undefined ? `${time}${name} ` : time;
}
