/** -machine: the kind of machine, and properties that stand for options of their own. */
import * as z from "zod/mini";
import { type Pair, pairText } from "../keyval.ts";
import type { Mirror, PropertyValues } from "./option.ts";
import type { ParsedOption } from "./parsed-options.ts";
import { filePath, identifier, only, onOff } from "./values.ts";

const PROPERTIES = {
  type: { schema: () => only("nitro", otherMachine) },
  accel: {
    schema: () =>
      only("nitro", "an enclave runs on the Nitro hypervisor: use accel=nitro, which is the default"),
    help: "the accelerator",
    default: "nitro",
  },
  "any-kernel": { schema: onOff, help: "launch whatever file -kernel names, unchecked", default: "off" },
  "memory-backend": { schema: identifier, help: "the id of the -object that provides the memory" },
  ramdisk: { schema: () => z.array(filePath()), repeats: true, help: "another ramdisk, after -initrd's" },
} as const;

function otherMachine(type: string): string {
  return type === "nitro-enclave"
    ? "that is QEMU's machine that emulates an enclave on any host: run it with qemu-system-x86_64 -M nitro-enclave; " +
        "nitro launches real ones with -M nitro"
    : "unsupported machine type; use -M nitro, which is the default";
}

/** -machine */
export const MACHINE = {
  name: "machine",
  alias: "M",
  argument: "nitro[,prop=value...]",
  help: "the machine",
  default: "nitro",
  repeats: "merge",
  properties: PROPERTIES,
  syntax: {
    implied: "type",
    type: "nitro-machine",
    helpArgument: "nitro,help",
    json: true,
    mirrors: {
      kernel: { option: "kernel" },
      initrd: { option: "initrd" },
      append: { option: "append" },
      "memory.size": { option: "m", property: "size" },
      "smp.cpus": { option: "smp", property: "cpus" },
      "smp.sockets": { option: "smp", property: "sockets" },
      "smp.cores": { option: "smp", property: "cores" },
      "smp.threads": { option: "smp", property: "threads" },
      "smp.maxcpus": { option: "smp", property: "maxcpus" },
    },
  },
  listing: () => "Supported machines are:\nnitro                AWS Nitro Enclave (default)\n",
  group: { name: "machine" },
} as const;

/** The properties of -machine, checked. */
export type Machine = Partial<PropertyValues<typeof PROPERTIES>>;

const MIRRORS: Readonly<Record<string, Mirror>> = MACHINE.syntax.mirrors;

/**
 * Replaces the properties of -machine that stand for other options by these options; any other option is returned as
 * it is. Their order is kept, because the last one of a kind counts.
 */
export function mirroredOptions(parsed: ParsedOption): ParsedOption[] {
  if (parsed.name !== MACHINE.name) return [parsed];
  const mirrorOf = (key: string) => (Object.hasOwn(MIRRORS, key) ? MIRRORS[key] : undefined);
  const own = parsed.pairs.filter(([key]) => mirrorOf(key) === undefined);
  const mirrored = parsed.pairs.flatMap(([key, value]): ParsedOption[] => {
    const mirror = mirrorOf(key);
    if (mirror === undefined) return [];
    const { option: name, property } = mirror;
    const pairs: Pair[] = property === undefined ? [] : [[property, value]];
    return [{ name, dashed: parsed.dashed, argument: pairText(key, value), value, pairs }];
  });
  return [{ ...parsed, pairs: own }, ...mirrored];
}
