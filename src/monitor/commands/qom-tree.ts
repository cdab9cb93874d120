/**
 * The object tree (QOM) as QEMU's nitro machine has it: /machine with the vsock bridge, its bus and devices, /objects
 * with the memory backend, /chardevs. The accelerator, which QEMU keeps out of its tree, is /machine/accel.
 */

import type { Json } from "../json.ts";
import type { MachineView } from "../machine-view.ts";
import { CommandError } from "./command.ts";

/** A property that can be read. */
interface Property {
  readonly type: string;
  readonly value: () => Json;
}

/** An object: its type, what can be read of it, and what is below it. */
export interface TreeObject {
  readonly type: string;
  readonly properties: Readonly<Record<string, Property>>;
  readonly children: Readonly<Record<string, TreeObject>>;
}

function object(
  type: string,
  properties: TreeObject["properties"] = {},
  children: TreeObject["children"] = {},
): TreeObject {
  return { type, properties: { type: property("string", () => type), ...properties }, children };
}

function property(type: string, value: () => Json): Property {
  return { type, value };
}

const yes = () => true;
const no = () => false;

/** Where the bus of the enclave's devices is. */
const BRIDGE_PATH = "/machine/peripheral/nitro-vsock";

function bridge(machine: MachineView): TreeObject {
  const bus = object("nitro-vsock-bus", {
    realized: property("bool", yes),
    "child[0]": property("link<nitro-heartbeat>", () => "/machine/unattached/device[0]"),
    "child[1]": property("link<nitro-serial-vsock>", () => "/machine/unattached/device[1]"),
    "hotplug-handler": property("link<hotplug-handler>", () => ""),
  });
  const properties = {
    realized: property("bool", yes),
    hotplugged: property("bool", no),
    hotpluggable: property("bool", no),
    parent_bus: property("link<bus>", () => "/machine/unattached/sysbus"),
    "enclave-cid": property("uint32", () => machine.cid()),
  };
  return object("nitro-vsock-bridge", properties, { "nitro-vsock": bus });
}

function unattached(machine: MachineView): TreeObject {
  const device = {
    realized: property("bool", yes),
    hotplugged: property("bool", no),
    hotpluggable: property("bool", yes),
    parent_bus: property("link<bus>", () => `${BRIDGE_PATH}/nitro-vsock`),
  };
  const vcpu = (cpu: number) =>
    object("nitro-vcpu", { realized: property("bool", yes), "host-cpu": property("int", () => cpu) });
  return object(
    "container",
    {},
    {
      ...Object.fromEntries(machine.cpus().map((cpu, i) => [`cpu[${i}]`, vcpu(cpu)])),
      "device[0]": object("nitro-heartbeat", device),
      "device[1]": object("nitro-serial-vsock", {
        ...device,
        chardev: property("str", () => machine.serial ?? ""),
      }),
      sysbus: object("System", { realized: property("bool", yes) }),
    },
  );
}

/** QEMU's SMPConfiguration: whole cores of one socket. */
function topology(machine: MachineView): Json {
  const { vcpus, threadsPerCore } = machine;
  const one = { modules: 1, books: 1, dies: 1, sockets: 1, clusters: 1, drawers: 1 };
  return { ...one, cpus: vcpus, maxcpus: vcpus, threads: threadsPerCore, cores: vcpus / threadsPerCore };
}

function machineObject(machine: MachineView): TreeObject {
  const { image, memory } = machine;
  const properties = {
    kernel: property("string", () => image.kernel),
    initrd: property("string", () => image.initrd ?? ""),
    append: property("string", () => image.commandLine ?? ""),
    smp: property("SMPConfiguration", () => topology(machine)),
    memory: property("MemorySizeConfiguration", () => ({ size: memory.bytes })),
    "memory-backend": property("link<memory-backend>", () => `/objects/${memory.id}`),
    graphics: property("bool", no),
    usb: property("bool", no),
    "dump-guest-core": property("bool", no),
    "mem-merge": property("bool", no),
  };
  const pcrs = Object.entries(machine.pcrs());
  const accelerator = object("nitro-accel", {
    "cpu-ids": property("int", () => [...machine.cpuIds()]),
    "debug-mode": property("bool", () => machine.debugMode),
    "enclave-cid": property("uint64", () => machine.cid()),
    heartbeat: property("HeartbeatPolicy", () => machine.heartbeat.policy),
    "heartbeat-timeout": property("uint64", () => machine.heartbeat.timeoutSeconds),
    ...Object.fromEntries(pcrs.map(([name, hex]) => [name, property("string", () => hex)])),
  });
  return object("nitro-machine", properties, {
    peripheral: object("container", {}, { "nitro-vsock": bridge(machine) }),
    "peripheral-anon": object("container"),
    unattached: unattached(machine),
    accel: accelerator,
  });
}

function memoryObject({ memory }: MachineView): TreeObject {
  return object(memory.type, {
    size: property("int", () => memory.bytes),
    share: property("bool", () => memory.share),
    prealloc: property("bool", () => memory.prealloc),
    merge: property("bool", no),
    dump: property("bool", no),
    reserve: property("bool", yes),
    hugetlb: property("bool", yes),
    hugetlbsize: property("int", () => memory.pageBytes),
    seal: property("bool", yes),
    policy: property("HostMemPolicy", () => memory.policy),
    "host-nodes": property("int", () => [...memory.hostNodes]),
  });
}

/** The tree as it is now. */
export function objectTree(machine: MachineView): TreeObject {
  const chardevs = machine.chardevs.list().map(({ label, type }) => [label, object(type)] as const);
  return object(
    "container",
    {},
    {
      machine: machineObject(machine),
      objects: object("container", {}, { [machine.memory.id]: memoryObject(machine) }),
      chardevs: object("container", {}, Object.fromEntries(chardevs)),
      backend: object("container"),
    },
  );
}

function descendants(from: TreeObject, path = ""): readonly (readonly [string, TreeObject])[] {
  return [
    [path === "" ? "/" : path, from],
    ...Object.entries(from.children).flatMap(([name, child]) => descendants(child, `${path}/${name}`)),
  ];
}

/**
 * The object at a path, and its absolute path. A path without a slash at its head is the end of one, and has to be the
 * only one of that end.
 * @param ambiguous whether that is told of a path that has several; else there is no such device, as QEMU has it for
 * qom-get and qom-set. Throws CommandError.
 */
export function resolve(root: TreeObject, path: string, ambiguous = false): readonly [string, TreeObject] {
  const all = descendants(root);
  const normal = path.replace(/\/+/g, "/");
  const found = normal.startsWith("/")
    ? all.filter(([at]) => at === (normal === "/" ? "/" : normal.replace(/\/$/, "")))
    : all.filter(([at]) => path !== "" && at.endsWith(`/${path}`));
  const several = path === "" || found.length > 1;
  if (several && ambiguous) throw new CommandError(`Path '${path}' is ambiguous`);
  const [one] = several ? [] : found;
  if (one === undefined) throw new CommandError(`Device '${path}' not found`, "DeviceNotFound");
  return one;
}

/** What qom-list gives: name and type of each property, children included. */
export function propertiesOf({ properties, children }: TreeObject): { name: string; type: string }[] {
  return [
    ...Object.entries(properties).map(([name, { type }]) => ({ name, type })),
    ...Object.entries(children).map(([name, { type }]) => ({ name, type: `child<${type}>` })),
  ];
}

/** The value of a property; of a child, its path. Throws CommandError. */
export function valueAt(root: TreeObject, path: string, name: string): Json {
  const [at, { type, properties, children }] = resolve(root, path);
  if (Object.hasOwn(children, name)) return `${at === "/" ? "" : at}/${name}`;
  const found = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (found === undefined) throw new CommandError(`Property '${type}.${name}' not found`);
  return found.value();
}

/** `info qom-tree`: the objects below a path, a line each. */
export function treeText(root: TreeObject, path: string): string {
  const lines = (name: string, { type, children }: TreeObject, depth: number): string => {
    const below = Object.keys(children)
      .sort()
      .map((child) => {
        const next = children[child];
        return next === undefined ? "" : lines(child, next, depth + 1);
      });
    return `${"  ".repeat(depth)}/${name} (${type})\n${below.join("")}`;
  };
  let found: readonly [string, TreeObject];
  try {
    found = resolve(root, path);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return `Path '${path}' could not be resolved.\n`;
  }
  const [at, start] = found;
  return lines(at.slice(at.lastIndexOf("/") + 1), start, 0);
}
