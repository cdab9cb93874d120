/** -m and -object: how much memory the enclave has, and which pages. */
import type { LaunchOptions, MemoryBackend, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { MACHINE, type Machine } from "./machine.ts";
import { type ObjectOption, objectsOf } from "./object.ts";
import type { ParsedOptions } from "./parsed-options.ts";
import { refused, size } from "./values.ts";

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
  syntax: { implied: "size", type: "memory", shortBooleans: true },
  group: { name: "memory" },
} as const;

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
  const objects = objectsOf(parsed, "memory-backend-memfd").map(memoryObject);
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

function memoryObject({ values, typed }: ObjectOption<"memory-backend-memfd">): MemoryObject {
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
