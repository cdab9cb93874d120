/** `nitro pool`: its arguments, and the request that they describe. */
import { parseCpuList } from "../../host/cpu/cpu-list.ts";
import type { PoolRequest } from "../../pool/plan.ts";
import { preparePool } from "../../pool/prepare.ts";
import { poolStatus, releasePool } from "../../pool/status.ts";
import { SyscallError, UserError } from "../../sys/errors.ts";
import { readText } from "../../sys/files.ts";
import { parseSize } from "../numbers.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import { ALLOCATOR_FILE, allocatorRequest } from "./allocator-file.ts";
import {
  preparedJson,
  preparedText,
  releasedJson,
  releasedText,
  statusJson,
  statusText,
} from "./pool-report.ts";
import { defineSubcommand, type SubcommandCall, type SubcommandResult } from "./subcommand.ts";

/** The command. */
export const poolCommand = defineSubcommand({
  meta: {
    name: "pool",
    description: "prepare the parent instance: CPUs for enclaves, and huge pages",
    usage: [
      "pool [--cpus N | --cpu-list LIST] [--memory SIZE]... [--node N]",
      "pool --config FILE [--node N]",
      "pool status | release",
    ],
    examples: [
      "pool --cpus 2 --memory 512",
      "pool --cpus 4 --memory 4G --memory 1G      # for two enclaves",
      "pool status",
    ],
    dashes: "--",
    details: [
      "'nitro pool status' prints the pool and the huge pages. 'nitro pool release' returns the pool's CPUs to the " +
        "parent, and frees the huge pages of its NUMA node.",
      "Running it again changes nothing. CPUs or memory that are not requested stay as they are. If the parent " +
        "cannot provide everything, nitro restores the previous state and exits with status 1. While an enclave " +
        "runs, the CPUs cannot be changed. The driver must be loaded: modprobe nitro_enclaves.",
    ],
    exitStatus: "0, or 1 if nothing was changed",
    page: "pool",
  },
  args: {
    action: {
      type: "positional",
      required: false,
      valueHint: "status | release",
      description: "print or release the pool instead, see below",
    },
    cpus: {
      type: "string",
      valueHint: "N",
      description: "put N CPUs into the pool: whole cores of one NUMA node",
    },
    "cpu-list": {
      type: "string",
      valueHint: "LIST",
      description: "put these CPUs into the pool, N or N-N joined by commas: whole cores of one NUMA node",
    },
    memory: {
      type: "string",
      repeats: true,
      valueHint: "SIZE",
      description:
        "reserve huge pages for an enclave with this memory (MiB, or with a suffix: 4G); repeat it for several " +
        "enclaves; the pages are on the pool's NUMA node: 1 GiB in pages of 2 MiB, the rest in pages of 1 GiB",
    },
    node: { type: "string", valueHint: "N", description: "use this NUMA node only" },
    config: {
      type: "string",
      valueHint: "FILE",
      description:
        "read memory_mib and cpu_count or cpu_pool from a file of nitro-enclaves-allocator, such as " +
        ALLOCATOR_FILE,
    },
    json: { type: "boolean", description: "print JSON" },
  },
  run,
});

const REQUEST_OPTIONS = ["cpus", "cpu-list", "memory", "node", "config"];

function run({ context: { system, report }, args }: SubcommandCall): SubcommandResult {
  const show = <T>(value: T, text: (value: T) => string, json: (value: T) => unknown): SubcommandResult => ({
    output: args.has("json") ? `${JSON.stringify(json(value), undefined, 2)}\n` : text(value),
  });
  const [action] = args.operands;
  if (action === undefined) {
    const request = poolRequest(args, (path) => readText(system, path));
    return show(preparePool(system, request, report), preparedText, preparedJson);
  }
  if (action !== "status" && action !== "release")
    throw new UserError(
      action === "" ? "''" : action,
      "unknown argument of nitro pool",
      "nitro pool status, or nitro pool release",
    );
  const option = REQUEST_OPTIONS.find((name) => args.has(name));
  if (option !== undefined)
    throw new UserError(`--${option}`, `not an option of nitro pool ${action}`, `nitro pool ${action}`);
  return action === "status"
    ? show(poolStatus(system), statusText, statusJson)
    : show(releasePool(system, report), releasedText, releasedJson);
}

function poolRequest(args: SubcommandArgs, read: (path: string) => string): PoolRequest {
  const [count, list, config] = [args.last("cpus"), args.last("cpu-list"), args.last("config")];
  const memory = args.all("memory");
  const node = wholeNumber("--node", args.last("node"), 0);
  if (config !== undefined) {
    const other = ["cpus", "cpu-list", "memory"].find((name) => args.has(name));
    if (other !== undefined)
      throw new UserError(
        `--${other}`,
        "conflicts with --config, whose file contains it",
        `leave out --${other}`,
      );
    return { ...fileRequest(config, read), node };
  }
  if (count !== undefined && list !== undefined)
    throw new UserError("--cpu-list", "conflicts with --cpus", "leave one of them out");
  if (count === undefined && list === undefined && memory.length === 0)
    throw new UserError("pool", "nothing requested", "nitro pool --cpus 2 --memory 512");
  return {
    cpus: cpuRequest(count, list),
    memory: memory.length === 0 ? undefined : memoryRequest(memory),
    node,
  };
}

function fileRequest(path: string, read: (path: string) => string): Omit<PoolRequest, "node"> {
  const typed = `--config ${path}`;
  try {
    return allocatorRequest(read(path), typed);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(typed, error.why, "without a file: nitro pool --cpus 2 --memory 512");
  }
}

function cpuRequest(count: string | undefined, list: string | undefined): PoolRequest["cpus"] {
  if (list === undefined) {
    const number = wholeNumber("--cpus", count, 1);
    return number === undefined ? undefined : { list: [], more: number.value, typed: number.typed };
  }
  const cpus = parseCpuList(list) ?? [];
  if (cpus.length === 0)
    throw new UserError(
      `--cpu-list ${list}`,
      "expects a list of CPUs",
      "list numbers and ranges such as 2-3,6-7, or let nitro choose whole cores: --cpus 2",
    );
  return { list: cpus, more: 0, typed: `--cpu-list ${list}` };
}

function memoryRequest(sizes: readonly string[]): PoolRequest["memory"] {
  const bytes = sizes.map((size) => {
    const parsed = parseSize(size, "M");
    // 0 alone releases the huge pages.
    if (parsed !== undefined && (parsed > 0 || sizes.length === 1)) return parsed;
    const why = "expects a size: MiB, or a number with the suffix k, M, G or T";
    throw new UserError(`--memory ${size}`, why, "use a size such as --memory 512");
  });
  return { bytes, typed: sizes.map((size) => `--memory ${size}`).join(" ") };
}

function wholeNumber(
  option: string,
  text: string | undefined,
  least: number,
): { value: number; typed: string } | undefined {
  if (text === undefined) return undefined;
  const typed = `${option} ${text}`;
  if (/^\d{1,5}$/.test(text) && Number(text) >= least) return { value: Number(text), typed };
  throw new UserError(typed, `expects a whole number, at least ${least}`, `use a number such as ${option} 2`);
}
