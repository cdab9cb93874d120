/** `nitro pool`: its words, and what it prints for people and for programs. */
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
import { parseSize } from "../numbers.ts";
import { commandHelp, type SubcommandArgs, subcommandArgs } from "../subcommand-args.ts";
import { ALLOCATOR_FILE, allocatorRequest } from "./allocator-file.ts";
import type { Printed, Surroundings } from "./command.ts";

const MIB = 1024 * 1024;

const args: ArgsDef = {
  cpus: { type: "string", valueHint: "N", description: "so many CPUs: whole cores of one NUMA node" },
  "cpu-list": { type: "string", valueHint: "LIST", description: "these CPUs, such as 2-3,10-11" },
  memory: {
    type: "string",
    valueHint: "SIZE",
    description:
      "huge pages for so much memory on the CPUs' node, in MiB without a suffix: so many in all,\n" +
      "1 GiB ones first; given once for each enclave, the pages suit each of them",
  },
  node: { type: "string", valueHint: "N", description: "on this NUMA node and no other" },
  config: {
    type: "string",
    valueHint: "FILE",
    description:
      "what to prepare from a file as of nitro-enclaves-allocator (memory_mib, and cpu_count or\n" +
      `cpu_pool), such as ${ALLOCATOR_FILE}`,
  },
  json: { type: "boolean", description: "what is printed is for programs" },
  help: { type: "boolean", description: "print this help" },
};

const DESCRIPTION = "prepares the parent instance for enclaves: CPUs in the driver's pool, and huge pages";

const MORE = `
  nitro pool status     tells what there is; changes nothing
  nitro pool release    gives the pool's CPUs back to the parent, and its node's huge pages

What is as asked already is left alone, so it can be run again, and while enclaves run if the CPUs stay the same.
What is not asked for (CPUs or memory) stays as it is. Where not all can be had, everything is as it was, and the
status is 1. The driver must be loaded: modprobe nitro_enclaves.

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
      "nitro pool has no such word",
      "nitro pool status, or nitro pool release",
    );
  }
  const show = <T>(value: T, text: (value: T) => string, json: (value: T) => unknown): Printed => ({
    print: values.has("json") ? `${JSON.stringify(json(value), undefined, 2)}\n` : text(value),
  });
  if (word !== undefined && asked.length > 0) {
    throw new UserError(`--${asked[0]}`, `nitro pool ${word} takes no such option`, `nitro pool ${word}`);
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
      throw new UserError(`--${other}`, "the file of --config says that", `leave out --${other}`);
    return { ...fileRequest(config, read), node };
  }
  if (count !== undefined && list !== undefined) {
    throw new UserError("--cpu-list", "--cpus chooses the CPUs already", "leave one of them out");
  }
  if (count === undefined && list === undefined && memory === undefined) {
    throw new UserError("pool", "what is to be prepared is missing", "nitro pool --cpus 2 --memory 512");
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
    throw new UserError(`--cpu-list ${list}`, "is no list of CPUs", "--cpu-list 2-3,10-11");
  return { list: cpus, more: 0, typed: `--cpu-list ${list}` };
}

function memoryOf(sizes: readonly string[]): PoolRequest["memory"] {
  const bytes = sizes.map((size) => {
    const parsed = parseSize(size, "M");
    if (parsed !== undefined && (parsed > 0 || sizes.length === 1)) return parsed;
    throw new UserError(
      `--memory ${size}`,
      "expects a size: a number with k, M, G or T, in MiB without one",
      "--memory 512",
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
  throw new UserError(typed, `expects a whole number from ${least} on`, `${option} 2`);
}

function cpusText(cpus: readonly number[], cores: number): string {
  return `CPUs ${cpuListText(cpus)} (${cores} core${cores === 1 ? "" : "s"})`;
}

/** ` on NUMA node 1`, where there are several. */
function placeText(topology: Topology, node: number | undefined): string {
  return topology.nodes.length > 1 && node !== undefined ? ` on NUMA node ${node}` : "";
}

function preparedText(prepared: PreparedPool): string {
  const { pool, poolChanged, poolNode, node, pages, pagesChanged, elsewhere, topology } = prepared;
  const before = (changed: boolean) => (changed ? "" : ", as before");
  const cpus = pool.length === 0 ? "empty" : cpusText(pool, pool.length / topology.threadsPerCore);
  const others = elsewhere.map(
    (other) =>
      `NUMA node ${other.node}: ${pageCountText(other.pages)} too, which this pool's enclaves cannot have; ` +
      `to give them back: nitro pool --node ${other.node} --memory 0\n`,
  );
  return (
    `pool: ${cpus}${placeText(topology, poolNode)}${before(poolChanged)}\n` +
    `memory: ${bytesOf(pages) / MIB}M, ${pageCountText(pages)}${placeText(topology, node)}${before(pagesChanged)}\n` +
    others.join("")
  );
}

function countsJson(pages: PageCounts): unknown {
  return { "2M": pages.huge, "1G": pages.giant };
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
  const free = node === undefined ? "" : `for enclaves: ${availableBytes / MIB}M are free${place}\n`;
  return (
    `pool: ${pool.length === 0 ? "empty" : cpusText(pool, cores.length)}${place}\n` +
    `${lines.join("") || "memory: no huge pages\n"}${free}`
  );
}

function pagesText({ pageBytes, total, free }: NodePageCount, place: string): string {
  const giant = pageBytes === GIGANTIC_PAGE_BYTES;
  const count = giant ? { giant: total, huge: 0 } : { giant: 0, huge: total };
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
      "pool: empty, as before; nothing tells whose the huge pages are (nitro pool status), and they are left; " +
      `to give them back: nitro pool${node} --memory 0\n`
    );
  }
  const given = { giant: pagesBefore.giant - pagesLeft.giant, huge: pagesBefore.huge - pagesLeft.huge };
  const left =
    bytesOf(pagesLeft) === 0 ? "" : `; ${pageCountText(pagesLeft)} are in use and go with their user`;
  return (
    `pool: CPUs ${cpuListText(pool)} are the parent's again\n` +
    `memory: ${pageCountText(given)} given back${left}\n`
  );
}

function releasedJson({ pool, node, pagesBefore, pagesLeft }: ReleasedPool): unknown {
  return {
    cpus: pool,
    node: node ?? null,
    hugePagesBefore: countsJson(pagesBefore),
    hugePagesLeft: countsJson(pagesLeft),
  };
}
