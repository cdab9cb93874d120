/** -m and -object: how much memory the enclave has, and what it is made of. */
import * as z from "zod/mini";
import type { LaunchOptions, MemoryBackend, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { MACHINE, type Machine } from "./machine.ts";
import { checkProperties, type ParsedOption, type ParsedOptions, typedText } from "./option.ts";
import {
  always,
  identifier,
  integer,
  numberList,
  oneOf,
  only,
  property,
  refused,
  required,
  rule,
  size,
} from "./values.ts";

const FIXED = "an enclave's memory is fixed: it has no slots and no maxmem";

/** -m */
export const MEMORY = {
  name: "m",
  argument: "[size=]SIZE",
  help: "memory, in MiB without a suffix, in whole huge pages of 2 MiB",
  default: "four times the image, at least 128M",
  repeats: "merge",
  properties: { implied: "size", type: "memory" },
  schema: () =>
    z.strictObject({
      size: property(size("M"), { help: "the size of the memory" }),
      slots: refused(FIXED),
      maxmem: refused(FIXED),
    }),
  group: { name: "memory" },
} as const;

const HUGE = "an enclave's memory is huge pages and nothing else";
const ALLOCATED = "the driver accepts only memory that is allocated";

const backendSchema = () =>
  z
    .strictObject({
      "qom-type": only("memory-backend-memfd", otherType),
      id: required(identifier(), { help: "the name that -machine memory-backend= refers to" }),
      size: required(size("b").check(notZero("size")), { help: "the size of the memory" }),
      hugetlb: property(always("on", HUGE), { help: "always on", default: "on" }),
      hugetlbsize: property(pageSize(), {
        help: "the size of its pages: 2M or 1G",
        default: "1G for each whole GiB that is free, 2M for the rest",
      }),
      "host-nodes": property(numberList(MAX_NODE, "nodes", "NUMA nodes, such as 0 or 0-1"), {
        help: "the NUMA nodes that it comes from, together with policy",
        repeats: true,
      }),
      policy: property(oneOf(["default", "preferred", "bind", "interleave"]), {
        help: "how host-nodes is applied",
        default: "default",
      }),
      prealloc: property(always("on", ALLOCATED), { help: "always on", default: "on" }),
      "prealloc-threads": property(threadCount(), {
        help: "threads that allocate and zero it, 1 to 256",
        default: "nitro chooses",
      }),
      reserve: z.optional(always("on", ALLOCATED)),
      share: property(always("on", "the memory is donated as a mapping of a shared file"), {
        help: "always on",
        default: "on",
      }),
      seal: z.optional(always("on", "the file is closed before its size could change")),
      merge: z.optional(always("off", "huge pages cannot be merged, and an enclave's cannot be read")),
      dump: z.optional(always("off", "an enclave's memory cannot be dumped by the launcher")),
    })
    .check(nodesHavePolicy(), policyHasNodes());

type Backend = z.output<ReturnType<typeof backendSchema>>;

/** -object */
export const OBJECT = {
  name: "object",
  argument: "memory-backend-memfd,id=ID,size=SIZE[,prop=value...]",
  help: "the memory for -machine memory-backend=ID",
  repeats: "append",
  properties: {
    implied: "qom-type",
    type: "memory-backend-memfd",
    helpArgument: "memory-backend-memfd,help",
    json: true,
  },
  schema: backendSchema,
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

type Placement = { policy?: string | undefined; "host-nodes"?: readonly number[] | undefined };

function nodesHavePolicy() {
  return rule<Placement>(
    ({ policy = "default", "host-nodes": nodes = [] }) => policy !== "default" || nodes.length === 0,
    "host-nodes must be empty for policy default, or you should explicitly specify a policy other than default",
    "add policy=bind",
  );
}

function policyHasNodes() {
  return rule<Placement>(
    ({ policy = "default", "host-nodes": nodes = [] }) => policy === "default" || nodes.length > 0,
    ({ policy }) => `host-nodes must be set for policy ${policy}`,
    "ls -d /sys/devices/system/node/node*",
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
  const values: Backend = checkProperties(OBJECT, backendSchema(), [object]);
  const hostNodes = new Set(values["host-nodes"]);
  return {
    backend: {
      id: values.id,
      typed,
      pageBytes: values.hugetlbsize,
      policy: values.policy ?? "default",
      hostNodes: [...hostNodes].sort((a, b) => a - b),
      threads: values["prealloc-threads"],
    },
    bytes: { value: values.size, typed },
  };
}
