/** -m and -object: how much memory the enclave has, and which pages. */
import type { LaunchOptions, MemoryBackend, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { MACHINE, type Machine } from "./machine.ts";
import { checkProperties, type ParsedOption, type ParsedOptions, typedText } from "./parsed-options.ts";
import { always, identifier, integer, numberList, oneOf, only, refused, rule, size } from "./values.ts";

const FIXED = "an enclave's memory is fixed: it has no slots and no maxmem";

/** -m */
export const MEMORY = {
  name: "m",
  argument: "[size=]SIZE",
  help: "memory, in MiB without a suffix, in whole huge pages of 2 MiB",
  default: "four times the image, at least 128M",
  repeats: "merge",
  properties: {
    size: { schema: () => size("M"), help: "the size of the memory" },
    slots: { schema: () => refused(FIXED) },
    maxmem: { schema: () => refused(FIXED) },
  },
  syntax: { implied: "size", type: "memory" },
  group: { name: "memory" },
} as const;

const HUGE = "an enclave's memory consists of huge pages only";
const SHARED = "the memory is donated as a mapping of a shared file";
const ALLOCATED = "the driver accepts only memory that is allocated";

const BACKEND_PROPERTIES = {
  "qom-type": { schema: () => only("memory-backend-memfd", otherType), required: true },
  id: { schema: identifier, required: true, help: "the name that -machine memory-backend= refers to" },
  size: { schema: () => size("b").check(notZero("size")), required: true, help: "the size of the memory" },
  hugetlb: { schema: () => always("on", HUGE), help: "always on", default: "on" },
  hugetlbsize: {
    schema: pageSize,
    help: "the size of its pages: 2M or 1G",
    default: "1G for each whole GiB that is free, 2M for the rest",
  },
  "host-nodes": {
    schema: () => numberList(MAX_NODE, "nodes", "NUMA nodes, such as 0 or 0-1"),
    repeats: true,
    help: "the NUMA nodes that it comes from, together with policy",
  },
  policy: {
    schema: () => oneOf(["default", "preferred", "bind", "interleave"]),
    help: "how host-nodes is applied",
    default: "default",
  },
  prealloc: { schema: () => always("on", ALLOCATED), help: "always on", default: "on" },
  "prealloc-threads": {
    schema: threadCount,
    help: "threads that allocate and zero it, 1 to 256",
    default: "nitro chooses",
  },
  reserve: { schema: () => always("on", ALLOCATED) },
  share: { schema: () => always("on", SHARED), help: "always on", default: "on" },
  seal: { schema: () => always("on", "the file is closed before its size could change") },
  merge: {
    schema: () =>
      always("off", "huge pages cannot be merged, and the parent cannot read an enclave's memory"),
  },
  dump: { schema: () => always("off", "an enclave's memory cannot be dumped by the launcher") },
} as const;

/** -object */
export const OBJECT = {
  name: "object",
  argument: "memory-backend-memfd,id=ID,size=SIZE[,prop=value...]",
  help: "the memory for -machine memory-backend=ID",
  repeats: "append",
  properties: BACKEND_PROPERTIES,
  syntax: {
    implied: "qom-type",
    type: "memory-backend-memfd",
    helpArgument: "memory-backend-memfd,help",
    json: true,
  },
  listing: () => "List of user creatable objects:\n  memory-backend-memfd\n",
  group: { name: "object", hasId: true },
} as const;

function otherType(type: string): string {
  return type.startsWith("memory-backend-")
    ? "an enclave's memory is an anonymous file of huge pages: use memory-backend-memfd"
    : `does not accept value '${type}': nitro -object help lists the types`;
}

function notZero(name: string) {
  const message = `property '${name}' of memory-backend-memfd doesn't take value '0'`;
  return rule<number>((value) => value !== 0, message);
}

function pageSize() {
  return size("b").check(
    rule<number>(
      (bytes) => bytes === HUGE_PAGE_BYTES || bytes === GIGANTIC_PAGE_BYTES,
      "must be 2M or 1G, the page sizes that nitro allocates",
    ),
  );
}

/** The kernel's node masks have at most 1024 bits (MAX_NUMNODES). */
const MAX_NODE = 1023;
/** More threads would only wait for one another. */
const MAX_THREADS = 256;

function threadCount() {
  return integer(0, 2 ** 32 - 1, "uint32").check(
    notZero("prealloc-threads"),
    rule<number>((threads) => threads <= MAX_THREADS, `must be 1 to ${MAX_THREADS}`),
  );
}

/** Reads -m and -object. @param machine the properties of -machine. Throws UserError. */
export function memoryOptions(
  parsed: ParsedOptions,
  machine: Machine,
): Pick<LaunchOptions, "memoryBytes" | "memoryBackend"> {
  const { size } = parsed.properties(MEMORY);
  // QEMU reads 0 as "the default", too.
  const memoryBytes = size ? { value: size, typed: parsed.typed(MEMORY) ?? "" } : undefined;
  const object = usedObject(parsed, machine);
  if (object === undefined) return { memoryBytes, memoryBackend: undefined };
  const { backend, bytes } = object;
  if (memoryBytes !== undefined && memoryBytes.value !== bytes.value) {
    throw new UserError(
      memoryBytes.typed,
      `Machine memory size does not match the size of the memory backend (${backend.typed})`,
      "leave it out: the object has the size",
    );
  }
  return { memoryBytes: bytes, memoryBackend: backend };
}

interface MemoryObject {
  readonly backend: MemoryBackend;
  readonly bytes: Typed<number>;
}

function usedObject(parsed: ParsedOptions, machine: Machine): MemoryObject | undefined {
  const used = machine["memory-backend"];
  const objects = parsed.of(OBJECT).map(memoryObject);
  objects.forEach(({ backend: { id, typed } }, i) => {
    if (objects.findIndex(({ backend }) => backend.id === id) < i)
      throw new UserError(typed, `duplicate property '${id}'`);
    if (id !== used) {
      const hint = `-machine memory-backend=${id} makes it the enclave's memory`;
      throw new UserError(typed, "nothing uses this object, so its memory would be wasted", hint);
    }
  });
  if (used !== undefined && objects.length === 0) {
    throw new UserError(
      parsed.typed(MACHINE) ?? "",
      `Memory backend '${used}' not found`,
      `-object memory-backend-memfd,id=${used},size=512M creates it`,
    );
  }
  return objects[0];
}

function memoryObject(object: ParsedOption): MemoryObject {
  const typed = typedText(object);
  const values = checkProperties(OBJECT, BACKEND_PROPERTIES, [object]);
  const { id, size, policy = "default", hugetlbsize: pageBytes, "prealloc-threads": threads } = values;
  const hostNodes = [...new Set(values["host-nodes"])].sort((a, b) => a - b);
  if (policy === "default" && hostNodes.length > 0) {
    throw new UserError(
      typed,
      "host-nodes must be empty for policy default, or you should explicitly specify a policy other than default",
      "add policy=bind",
    );
  }
  if (policy !== "default" && hostNodes.length === 0) {
    throw new UserError(
      typed,
      `host-nodes must be set for policy ${policy}`,
      "ls -d /sys/devices/system/node/node*",
    );
  }
  return { backend: { id, typed, pageBytes, policy, hostNodes, threads }, bytes: { value: size, typed } };
}
