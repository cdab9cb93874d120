/** `nitro pool`: its options, and what it prints as text and as JSON. */
import { type ArgsDef, type CommandDef, defineCommand } from "citty";
import { cpuListText, parseCpuList } from "../../host/cpu/cpu-list.ts";
import type { Topology } from "../../host/cpu/topology.ts";
import { pageCountText } from "../../pool/node-pages.ts";
import { bytesOf, type PageCounts, type PoolRequest } from "../../pool/plan.ts";
import { type PreparedPool, preparePool } from "../../pool/prepare.ts";
import {
  type NodePageCount,
  type PoolStatus,
  poolStatus,
  type ReleasedPool,
  releasePool,
} from "../../pool/status.ts";
import { SyscallError, UserError } from "../../sys/errors.ts";
import { readText } from "../../sys/files.ts";
import { GIGANTIC_PAGE_BYTES } from "../../sys/memory.ts";
import { sizeWithUnit } from "../../sys/units.ts";
import { parseSize } from "../numbers.ts";
import { commandHelp, type SubcommandArgs, subcommandArgs } from "../subcommand-args.ts";
import { ALLOCATOR_FILE, allocatorRequest } from "./allocator-file.ts";
import type { Printed, Surroundings } from "./command.ts";

const args: ArgsDef = {
  cpus: {
    type: "string",
    valueHint: "N",
    description: "put N CPUs into the pool: whole cores of one NUMA node",
  },
  "cpu-list": {
    type: "string",
    valueHint: "LIST",
    description: "put these CPUs into the pool, such as 2-3,10-11",
  },
  memory: {
    type: "string",
    valueHint: "SIZE",
    description:
      "reserve huge pages for an enclave with this memory (MiB, or with a suffix: 4G); repeat it\n" +
      "for several enclaves; the pages are on the pool's NUMA node, as many of 1 GiB as fit",
  },
  node: { type: "string", valueHint: "N", description: "use this NUMA node only" },
  config: {
    type: "string",
    valueHint: "FILE",
    description:
      "read memory_mib and cpu_count or cpu_pool from a file of nitro-enclaves-allocator, such as\n" +
      ALLOCATOR_FILE,
  },
  json: { type: "boolean", description: "print JSON" },
  help: { type: "boolean", description: "print this help" },
};

const DESCRIPTION = "prepare the parent instance for enclaves: the driver's CPU pool and huge pages";

const MORE = `
  nitro pool status     print the pool and the huge pages
  nitro pool release    return the pool's CPUs to the parent, and free the huge pages of its NUMA node

Running it again changes nothing. CPUs or memory that are not requested stay as they are. If the parent cannot
provide everything, nitro restores the previous state and exits with status 1. While an enclave runs, the CPUs
cannot be changed. The driver must be loaded: modprobe nitro_enclaves.

examples:
  nitro pool --cpus 2 --memory 512
  nitro pool --cpus 4 --memory 4G --memory 1G       # two enclaves
  nitro pool --config ${ALLOCATOR_FILE}
`;

function help(): string {
  const usage = "nitro pool [--cpus N | --cpu-list LIST] [--memory SIZE]… | --config FILE | status | release";
  return commandHelp(DESCRIPTION, usage, args, MORE);
}

/** The command. */
export function poolCommand(around: Surroundings): CommandDef {
  return defineCommand({
    meta: { name: "pool", description: DESCRIPTION },
    args,
    run({ rawArgs }) {
      const words = rawArgs.map((word) => (word === "-h" ? "-help" : word));
      return run(around, subcommandArgs("pool", words, args, ["memory"]));
    },
  });
}

function run({ system, report }: Surroundings, given: SubcommandArgs): Printed {
  const { values, words } = given;
  if (values.has("help")) return { print: help() };
  const [word, second] = words;
  const asked = ["cpus", "cpu-list", "memory", "node", "config"].filter((name) => values.has(name));
  if (second !== undefined || (word !== undefined && word !== "status" && word !== "release")) {
    const unknown = word === "status" || word === "release" ? second : word;
    throw new UserError(
      `${unknown}`,
      "unknown argument of nitro pool",
      "nitro pool status, or nitro pool release",
    );
  }
  const show = <T>(value: T, text: (value: T) => string, json: (value: T) => unknown): Printed => ({
    print: values.has("json") ? `${JSON.stringify(json(value), undefined, 2)}\n` : text(value),
  });
  if (word !== undefined && asked.length > 0) {
    throw new UserError(`--${asked[0]}`, `not an option of nitro pool ${word}`, `nitro pool ${word}`);
  }
  if (word === "status") return show(poolStatus(system), statusText, statusJson);
  if (word === "release") return show(releasePool(system, report), releasedText, releasedJson);
  const request = requestOf(given, (path) => readText(system, path));
  return show(preparePool(system, request, report), preparedText, preparedJson);
}

function requestOf({ values }: SubcommandArgs, read: (path: string) => string): PoolRequest {
  const one = (name: string) => values.get(name)?.[0];
  const [count, list, config] = [one("cpus"), one("cpu-list"), one("config")];
  const memory = values.get("memory");
  const node = wholeNumber("--node", one("node"), 0);
  if (config !== undefined) {
    const other = ["cpus", "cpu-list", "memory"].find((name) => values.has(name));
    if (other !== undefined)
      throw new UserError(
        `--${other}`,
        "conflicts with --config, whose file contains it",
        `leave out --${other}`,
      );
    return { ...fileRequest(config, read), node };
  }
  if (count !== undefined && list !== undefined) {
    throw new UserError("--cpu-list", "conflicts with --cpus", "leave one of them out");
  }
  if (count === undefined && list === undefined && memory === undefined) {
    throw new UserError("pool", "nothing requested", "nitro pool --cpus 2 --memory 512");
  }
  return { cpus: cpusOf(count, list), memory: memory === undefined ? undefined : memoryOf(memory), node };
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

function cpusOf(count: string | undefined, list: string | undefined): PoolRequest["cpus"] {
  if (list === undefined) {
    const number = wholeNumber("--cpus", count, 1);
    return number === undefined ? undefined : { list: [], more: number.value, typed: number.typed };
  }
  const cpus = parseCpuList(list) ?? [];
  if (cpus.length === 0)
    throw new UserError(`--cpu-list ${list}`, "expects a list of CPUs", "such as --cpu-list 2-3,10-11");
  return { list: cpus, more: 0, typed: `--cpu-list ${list}` };
}

function memoryOf(sizes: readonly string[]): PoolRequest["memory"] {
  const bytes = sizes.map((size) => {
    const parsed = parseSize(size, "M");
    if (parsed !== undefined && (parsed > 0 || sizes.length === 1)) return parsed;
    throw new UserError(
      `--memory ${size}`,
      "expects a size: MiB, or a number with the suffix k, M, G or T",
      "such as --memory 512",
    );
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
  throw new UserError(typed, `expects a whole number, at least ${least}`, `such as ${option} 2`);
}

function cpusText(cpus: readonly number[], cores: number): string {
  return `CPUs ${cpuListText(cpus)} (${cores} core${cores === 1 ? "" : "s"})`;
}

/** Returns ` on NUMA node 1` on a machine with several nodes. */
function placeText(topology: Topology, node: number | undefined): string {
  return topology.nodes.length > 1 && node !== undefined ? ` on NUMA node ${node}` : "";
}

function preparedText(prepared: PreparedPool): string {
  const { pool, poolChanged, poolNode, node, pages, pagesChanged, elsewhere, topology } = prepared;
  const size = sizeWithUnit(bytesOf(pages));
  const unchanged = (changed: boolean) => (changed ? "" : ", unchanged");
  const cpus = pool.length === 0 ? "empty" : cpusText(pool, pool.length / topology.threadsPerCore);
  const others = elsewhere.map(
    (other) =>
      `unused: ${pageCountText(other.pages)} on NUMA node ${other.node}, which this pool's enclaves cannot use; ` +
      `free them: nitro pool --node ${other.node} --memory 0\n`,
  );
  return (
    `pool: ${cpus}${placeText(topology, poolNode)}${unchanged(poolChanged)}\n` +
    `memory: ${size}, ${pageCountText(pages)}${placeText(topology, node)}${unchanged(pagesChanged)}\n` +
    others.join("")
  );
}

function countsJson(pages: PageCounts): unknown {
  return { "2M": pages.of2MiB, "1G": pages.of1GiB };
}

function preparedJson({ pool, node, pages, poolChanged, pagesChanged, elsewhere }: PreparedPool): unknown {
  return {
    pool: cpuListText(pool),
    cpus: pool,
    node,
    hugePages: countsJson(pages),
    memoryBytes: bytesOf(pages),
    changed: poolChanged || pagesChanged,
    elsewhere: elsewhere.map((other) => ({ node: other.node, hugePages: countsJson(other.pages) })),
  };
}

function statusText({ pool, cores, node, pages, availableBytes, topology }: PoolStatus): string {
  const place = placeText(topology, node);
  const lines = pages.map((each) => `memory: ${pagesText(each, placeText(topology, each.node))}\n`);
  const free = node === undefined ? "" : `available to enclaves: ${sizeWithUnit(availableBytes)}${place}\n`;
  return (
    `pool: ${pool.length === 0 ? "empty" : cpusText(pool, cores.length)}${place}\n` +
    `${lines.join("") || "memory: no huge pages\n"}${free}`
  );
}

function pagesText({ pageBytes, total, free }: NodePageCount, place: string): string {
  const count =
    pageBytes === GIGANTIC_PAGE_BYTES ? { of1GiB: total, of2MiB: 0 } : { of1GiB: 0, of2MiB: total };
  return `${pageCountText(count)}${place}, ${free} free`;
}

function statusJson({ pool, cores, node, topology, pages, availableBytes }: PoolStatus): unknown {
  return {
    pool: cpuListText(pool),
    cpus: pool,
    cores: cores.map(({ cpus }) => cpus),
    node: node ?? null,
    threadsPerCore: topology.threadsPerCore,
    hugePages: pages.map((each) => ({ ...each, node: each.node ?? null })),
    availableBytes,
  };
}

function releasedText({ pool, pagesBefore, pagesLeft, topology }: ReleasedPool): string {
  if (pool.length === 0) {
    const node = topology.nodes.length > 1 ? " --node N" : "";
    return (
      "nothing to release: the CPU pool is empty; huge pages are kept, as they may be for other programs; " +
      `free them: nitro pool${node} --memory 0\n`
    );
  }
  const freed = {
    of1GiB: pagesBefore.of1GiB - pagesLeft.of1GiB,
    of2MiB: pagesBefore.of2MiB - pagesLeft.of2MiB,
  };
  const left =
    bytesOf(pagesLeft) === 0 ? "" : `; ${pageCountText(pagesLeft)} still in use, freed when their user exits`;
  return `released CPUs ${cpuListText(pool)} to the parent\nfreed ${pageCountText(freed)}${left}\n`;
}

function releasedJson({ pool, node, pagesBefore, pagesLeft }: ReleasedPool): unknown {
  return {
    cpus: pool,
    node: node ?? null,
    hugePagesBefore: countsJson(pagesBefore),
    hugePagesLeft: countsJson(pagesLeft),
  };
}
