/**
 * The QOM composition tree of QEMU's nitro machine: /machine with the vsock bridge, its bus and devices, /objects with
 * the memory backend, /chardevs. nitro adds /machine/accel and the vCPUs, which QEMU does not expose.
 */
import type { Json } from "../json.ts";
import type { MachineView } from "../machine-view.ts";
import type { QomObject, QomProperty } from "./qom-path.ts";

const BRIDGE_PATH = "/machine/peripheral/nitro-vsock";

/** Properties by name, each as its QOM type and value. */
type Properties = Readonly<Record<string, readonly [type: string, value: Json]>>;

function object(type: string, properties: Properties = {}, children: QomObject["children"] = {}): QomObject {
  const all: Properties = { type: ["string", type], ...properties };
  const named = Object.entries(all).map(([name, [propertyType, value]]): [string, QomProperty] => [
    name,
    { type: propertyType, value },
  ]);
  return { type, properties: Object.fromEntries(named), children };
}

function container(children: QomObject["children"] = {}): QomObject {
  return object("container", {}, children);
}

function vsockBridge(machine: MachineView): QomObject {
  const bus = object("nitro-vsock-bus", {
    realized: ["bool", true],
    "child[0]": ["link<nitro-heartbeat>", "/machine/unattached/device[0]"],
    "child[1]": ["link<nitro-serial-vsock>", "/machine/unattached/device[1]"],
    "hotplug-handler": ["link<hotplug-handler>", ""],
  });
  const properties: Properties = {
    realized: ["bool", true],
    hotplugged: ["bool", false],
    hotpluggable: ["bool", false],
    parent_bus: ["link<bus>", "/machine/unattached/sysbus"],
    "enclave-cid": ["uint32", machine.cid()],
  };
  return object("nitro-vsock-bridge", properties, { "nitro-vsock": bus });
}

function unattachedDevices(machine: MachineView): QomObject {
  const device: Properties = {
    realized: ["bool", true],
    hotplugged: ["bool", false],
    hotpluggable: ["bool", true],
    parent_bus: ["link<bus>", `${BRIDGE_PATH}/nitro-vsock`],
  };
  const vcpus = machine.cpus().map((cpu, i): [string, QomObject] => {
    return [`cpu[${i}]`, object("nitro-vcpu", { realized: ["bool", true], "host-cpu": ["int", cpu] })];
  });
  return container({
    ...Object.fromEntries(vcpus),
    "device[0]": object("nitro-heartbeat", device),
    "device[1]": object("nitro-serial-vsock", { ...device, chardev: ["str", machine.serial ?? ""] }),
    sysbus: object("System", { realized: ["bool", true] }),
  });
}

/** QMP's SMPConfiguration: the vCPUs are whole cores of one socket. */
function smpConfiguration({ vcpus, threadsPerCore }: MachineView): Json {
  const levels = { modules: 1, books: 1, dies: 1, sockets: 1, clusters: 1, drawers: 1 };
  return { ...levels, cpus: vcpus, maxcpus: vcpus, threads: threadsPerCore, cores: vcpus / threadsPerCore };
}

function accelerator(machine: MachineView): QomObject {
  const pcrs = Object.entries(machine.pcrs()).map(([name, hex]) => [name, ["string", hex]] as const);
  return object("nitro-accel", {
    "cpu-ids": ["int", [...machine.cpuIds()]],
    "debug-mode": ["bool", machine.debugMode],
    "enclave-cid": ["uint64", machine.cid()],
    heartbeat: ["HeartbeatPolicy", machine.heartbeat.policy],
    "heartbeat-timeout": ["uint64", machine.heartbeat.timeoutSeconds],
    ...Object.fromEntries(pcrs),
  });
}

function machineObject(machine: MachineView): QomObject {
  const { image, memory } = machine;
  const properties: Properties = {
    kernel: ["string", image.kernel],
    initrd: ["string", image.initrd ?? ""],
    append: ["string", image.commandLine ?? ""],
    smp: ["SMPConfiguration", smpConfiguration(machine)],
    memory: ["MemorySizeConfiguration", { size: memory.bytes }],
    "memory-backend": ["link<memory-backend>", `/objects/${memory.id}`],
    graphics: ["bool", false],
    usb: ["bool", false],
    "dump-guest-core": ["bool", false],
    "mem-merge": ["bool", false],
  };
  return object("nitro-machine", properties, {
    peripheral: container({ "nitro-vsock": vsockBridge(machine) }),
    "peripheral-anon": container(),
    unattached: unattachedDevices(machine),
    accel: accelerator(machine),
  });
}

function memoryBackend({ memory }: MachineView): QomObject {
  return object(memory.type, {
    size: ["int", memory.bytes],
    share: ["bool", memory.share],
    prealloc: ["bool", memory.prealloc],
    merge: ["bool", false],
    dump: ["bool", false],
    reserve: ["bool", true],
    hugetlb: ["bool", true],
    hugetlbsize: ["int", memory.pageBytes],
    seal: ["bool", true],
    policy: ["HostMemPolicy", memory.policy],
    "host-nodes": ["int", [...memory.hostNodes]],
  });
}

/** Returns the tree with the machine's current state. */
export function qomTree(machine: MachineView): QomObject {
  const chardevs = machine.chardevs.list().map(({ label, type }) => [label, object(type)] as const);
  return container({
    machine: machineObject(machine),
    objects: container({ [machine.memory.id]: memoryBackend(machine) }),
    chardevs: container(Object.fromEntries(chardevs)),
    backend: container(),
  });
}
