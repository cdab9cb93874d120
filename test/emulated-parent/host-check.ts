/** Converts JSON into the hardware and the system of a scenario. */
import {
  type Check,
  isBoolean,
  isCount,
  isText,
  listOf,
  mapOf,
  objectOf,
  oneOf,
  ScenarioError,
  wrong,
} from "./checks.ts";
import { readCpuList } from "./driver/cpu-list.ts";
import type { Scenario, ScenarioInput } from "./scenario.ts";
import {
  type CgroupInput,
  defaultHost,
  type Host,
  type NodeInput,
  type PagesInput,
  pageSizeBytes,
  usualKernel,
  usualPageSizes,
} from "./topology/host.ts";
import { instanceTypes } from "./topology/instance-types.ts";
import { layOut, type Topology, type TopologyInput } from "./topology/topology.ts";

const topologyChecks: Record<keyof TopologyInput, Check> = {
  instance: isText,
  arch: oneOf("x86_64", "aarch64"),
  sockets: isCount,
  nodes: isCount,
  cores: isCount,
  threadsPerCore: isCount,
  numbering: oneOf("split", "adjacent"),
  memoryMiB: isCount,
  processor: isText,
};

const isShape = objectOf(topologyChecks);

/** An instance type's name, or an object that differs from one. */
export const isTopology: Check = (value, where) => {
  if (typeof value !== "string") return isShape(value, where);
  if (!instanceTypes.has(value)) {
    throw new ScenarioError(
      `${where}: unknown instance type "${value}"; known are ${[...instanceTypes.keys()].join(", ")}`,
    );
  }
};

const isPageSize: Check = (value, where) => {
  if (typeof value !== "string" || pageSizeBytes(value) === undefined)
    wrong(where, 'a size such as "2M"', value);
};

const pagesChecks: Record<keyof PagesInput, Check> = {
  total: isCount,
  used: isCount,
  reserved: isCount,
  obtainable: isCount,
  obtainableCompacted: isCount,
};

const isPages: Check = (value, where) => {
  if (typeof value === "object") objectOf(pagesChecks)(value, where);
  else isCount(value, where);
};

const nodeChecks: Record<keyof NodeInput, Check> = {
  memoryMiB: isCount,
  freeMiB: isCount,
  cachedMiB: isCount,
  pages: (value, where) => {
    mapOf(isPages)(value, where);
    for (const size of Object.keys(value as object)) isPageSize(size, where);
  },
};

const isDirectory: Check = (value, where) => {
  if (typeof value !== "string" || !value.startsWith("/")) wrong(where, "a path from the root on", value);
};

const cgroupChecks: Record<keyof CgroupInput, Check> = {
  version: (value, where) => {
    if (value !== 1 && value !== 2) wrong(where, "1 or 2", value);
  },
  path: isDirectory,
  limits: mapOf(mapOf(isText)),
};

const hostChecks: Record<keyof Host, Check> = {
  enclaveOption: isBoolean,
  modules: mapOf(oneOf("loaded", "unloaded", "builtin", "missing")),
  kernel: isText,
  groups: mapOf(isCount),
  cgroup: objectOf(cgroupChecks),
  busyCpus: listOf(isCount),
  nodes: listOf(objectOf(nodeChecks)),
  hugePageSizes: listOf(isPageSize),
  defaultHugePage: isPageSize,
  pageOrder: oneOf("ascending", "descending", "shuffled"),
  runPages: isCount,
  seed: isCount,
  localNode: isCount,
};

/** The system, key by key. */
export const isHost: Check = objectOf(hostChecks);

/** Returns a type's hardware with the given differences; of m5.xlarge if no known type is named. */
function hardware(given: string | Partial<TopologyInput>): Topology {
  const name = typeof given === "string" ? given : (given.instance ?? "m5.xlarge");
  const base = instanceTypes.get(name) ?? instanceTypes.get("m5.xlarge");
  if (base === undefined) throw new ScenarioError(`topology: unknown instance type "${name}"`);
  const input = typeof given === "string" ? base : { ...base, ...given };
  const { cores, nodes, sockets, threadsPerCore } = input;
  if (Math.min(cores, nodes, sockets, threadsPerCore) < 1)
    throw new ScenarioError("topology: cores, threadsPerCore, nodes and sockets must be at least 1");
  if (cores % nodes !== 0 || cores % sockets !== 0)
    throw new ScenarioError(
      `topology: ${cores} cores cannot be divided evenly into ${nodes} nodes and ${sockets} sockets`,
    );
  return layOut(input);
}

/** Returns what a topology changes in a scenario: a fresh instance has no pool and no huge pages. */
export function describe(
  given: ScenarioInput["topology"],
  host: ScenarioInput["host"],
  plain: Partial<Scenario>,
): Partial<Scenario> {
  if (given === undefined) {
    if (host !== undefined) throw new ScenarioError('scenario.host: needs "topology"');
    return {};
  }
  const topology = hardware(given);
  for (const key of ["cpus", "threadsPerCore"] as const) {
    if (plain[key] !== undefined) throw new ScenarioError(`scenario.${key}: conflicts with "topology"`);
  }
  if (plain.memory === "real") throw new ScenarioError("scenario.memory: must not be real with a topology");
  if (plain.opens === "writable") throw new ScenarioError("scenario.opens: must be all with a topology");
  const { arch, threadsPerCore, cpus } = topology;
  const full: Host = {
    ...defaultHost,
    ...{ kernel: usualKernel(arch), hugePageSizes: usualPageSizes(arch) },
    ...host,
    cgroup: { ...defaultHost.cgroup, ...host?.cgroup },
    modules: { ...defaultHost.modules, ...host?.modules },
  };
  if (full.nodes.length > topology.nodes)
    throw new ScenarioError(`scenario.host.nodes: the topology has ${topology.nodes}`);
  if (typeof readCpuList(plain.pool ?? "", cpus.length) === "number")
    throw new ScenarioError(`scenario.pool: "${plain.pool}" is not a list of the ${cpus.length} CPUs`);
  const empty = { pool: "", hugePages: 0, hugePages1G: 0 };
  return { ...empty, topology, host: full, cpus: cpus.length, threadsPerCore, memory: "stand-in" };
}
