/** The variable state of one parent instance: CPUs online, the pool, modules, the device's owner. */
import { parseCpuList } from "../driver/cpu-list.ts";
import { CpuPool } from "../driver/cpu-pool.ts";
import { NodeMemory } from "../memory/node-memory.ts";
import type { Scenario } from "../scenario.ts";
import { E } from "../sys/errno.ts";
import { Cgroups } from "./cgroups.ts";
import { Groups } from "./groups.ts";
import { usualKernel } from "./host.ts";
import { Modules } from "./modules.ts";
import { plainTopology, type Topology } from "./topology.ts";

const GIB = 1024 ** 3;
const HUGE = 2 * 1024 * 1024;

/** One parent instance. */
export class Instance {
  readonly topology: Topology;
  /** Whether the scenario describes hardware. Without it, most files and all policies are the machine's own. */
  readonly described: boolean;
  readonly pool: CpuPool;
  readonly memory: NodeMemory;
  readonly modules: Modules;
  readonly groups: Groups;
  readonly cgroups: Cgroups;
  /** The value of the pool's parameter, byte for byte. */
  poolText: string;
  /** CPUs that the pool has taken offline. */
  poolCpus: readonly number[];
  /** CPUs that a user has taken offline. */
  readonly offlineByHand = new Set<number>();
  /** CPUs of the pool that a user has brought online again; the driver does not notice. */
  readonly onlineByHand = new Set<number>();
  /** vsock ports that other processes hold. */
  readonly takenPorts: Set<number>;
  /** vsock ports that the command's processes have bound, with the process. */
  readonly listeners = new Map<number, number>();
  enclaveOption: boolean;
  /** The release of the running kernel. */
  kernel: string;
  deviceMode: number;
  deviceUid: number;
  deviceGid: number;
  private nextKernel: string | undefined;

  constructor(readonly scenario: Scenario) {
    const { host } = scenario;
    this.described = scenario.topology !== null;
    this.topology = scenario.topology ?? plainTopology(scenario.cpus, scenario.threadsPerCore);
    // A driver that is not loaded has no pool.
    const hasDriver = !this.described || host.modules["nitro_enclaves"] === "loaded";
    this.poolText = hasDriver ? scenario.pool : "";
    this.poolCpus = parseCpuList(this.poolText);
    this.pool = new CpuPool(this.topology, this.poolCpus);
    this.memory = new NodeMemory(
      this.topology,
      host,
      new Map([
        [HUGE, scenario.hugePages],
        [GIB, scenario.hugePages1G],
      ]),
    );
    this.modules = new Modules(host.modules);
    this.groups = new Groups(host.groups);
    this.takenPorts = new Set(scenario.takenPorts);
    this.cgroups = new Cgroups(host.cgroup);
    this.enclaveOption = host.enclaveOption;
    this.kernel = host.kernel;
    this.deviceMode = Number.parseInt(scenario.deviceMode, 8);
    this.deviceUid = scenario.deviceUid;
    this.deviceGid = scenario.deviceGid;
  }

  /** Returns the pool's CPUs to the parent and takes others. */
  setPool(text: string, cpus: readonly number[]): void {
    this.poolText = text;
    this.poolCpus = cpus;
    for (const cpu of cpus) this.offlineByHand.delete(cpu);
    this.onlineByHand.clear();
    this.pool.set(cpus);
  }

  /** Whether /dev/nitro_enclaves exists: the driver is loaded and has found its PCI device. */
  get hasDevice(): boolean {
    if (!this.described) return this.scenario.device;
    return this.scenario.device && this.enclaveOption && this.modules.has("nitro_enclaves");
  }

  /** Whether vsock is available at this moment. */
  get hasVsock(): boolean {
    return this.scenario.vsock && (!this.described || this.modules.has("vsock"));
  }

  /** Whether a socket of AF_VSOCK can be created: the kernel loads the family's module by itself (net-pf-40). */
  makeVsock(): boolean {
    return this.scenario.vsock && (!this.described || this.modules.load("vsock") === 0);
  }

  /** Whether a transport connects vsock to the hypervisor. */
  get hasTransport(): boolean {
    return !this.described || this.modules.has("vmw_vsock_virtio_transport");
  }

  /** Installs a package with the modules that the kernel lacks. */
  installModules(): void {
    for (const [name, state] of this.modules.all) if (state === "missing") this.modules.set(name, "unloaded");
  }

  /** Installs another kernel, which runs from the next reboot on. */
  installKernel(): void {
    this.nextKernel = usualKernel(this.topology.arch);
  }

  /** Boots the kernel that was installed last, with all modules; those of its devices are loaded. */
  reboot(): void {
    if (this.nextKernel === undefined) return;
    this.kernel = this.nextKernel;
    this.nextKernel = undefined;
    for (const [name] of this.modules.all) this.modules.set(name, "loaded");
  }

  /** Releases a vsock port; returns 0 or the errno. */
  freePort(port: number): number {
    return this.takenPorts.delete(port) ? 0 : E.ENOENT;
  }

  /** The CPUs that the parent's programs run on. */
  get online(): number[] {
    const { cpus } = this.topology;
    return cpus.filter(({ id }) => this.isOnline(id)).map(({ id }) => id);
  }

  /** Whether the parent's programs run on a CPU. */
  isOnline(cpu: number): boolean {
    const isTaken = this.poolCpus.includes(cpu) && !this.onlineByHand.has(cpu);
    return !isTaken && !this.offlineByHand.has(cpu);
  }

  /** CPUs that exist and are offline. */
  get offline(): number[] {
    return this.topology.cpus.filter(({ id }) => !this.isOnline(id)).map(({ id }) => id);
  }

  /** The online CPUs of a CPU's core. */
  siblings(cpu: number): number[] {
    const core = this.topology.cpus[cpu]?.core;
    return this.online.filter((id) => this.topology.cpus[id]?.core === core);
  }
}
