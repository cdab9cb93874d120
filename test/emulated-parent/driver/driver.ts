/**
 * The driver behind /dev/nitro_enclaves, and the device behind the driver: five requests, checked in the driver's
 * order.
 */

import { Enclave } from "../enclave/enclave.ts";
import type { Notification } from "../notification.ts";
import { E, NE_ERR } from "../sys/errno.ts";
import { closeFd, identityOf, makeMemfd, makePipe, UseWatch } from "../sys/files.ts";
import { CID, POLL } from "../sys/kernel.ts";
import { fixedBytes } from "../sys/libc.ts";
import type { World } from "../world.ts";
import { checkPlace, takeMemory } from "./donation.ts";
import { GuestMemory } from "./guest-memory.ts";
import { checkImage, type ImageReport } from "./image.ts";
import { writePool } from "./pool-file.ts";
import type { Slot } from "./slot.ts";

const LEAST_MEMORY = 64 * 1024 * 1024; // linux/nitro_enclaves.h: the limit of NE_ERR_ENCLAVE_MEM_MIN_SIZE
const LARGEST_CID = 0xffffffffn;
const firstUid = 0x1000;

/** The details of a request in the trace. */
export type Detail = Record<string, unknown>;

/** All enclaves of the parent instance. */
export class Driver {
  /** The file that stands in for the device. */
  readonly deviceFd = makeMemfd("nitro_enclaves", new Uint8Array());
  /** Called with the launcher's process id once an enclave has started. */
  started: (pid: number) => void = () => undefined;
  private readonly deviceIdentity = identityOf("", this.deviceFd);
  private readonly slots = new Map<string, Slot>();
  private readonly uses = new UseWatch();
  private created = 0;
  private enclavesStarted = 0;

  constructor(private readonly world: World) {
    world.vsock.hypervisor = (port) => this.consoleOn(port);
    world.loop.watch(this.uses.fd, POLL.IN, () => this.freeReleased());
  }

  /** Enclaves whose descriptor is still open. */
  get slotsLeft(): number {
    return this.slots.size;
  }

  /** A write to ne_cpus; returns 0 or the errno. */
  writePool(text: string, pid: number): number {
    const { instance, trace } = this.world;
    const errno = writePool(instance, text, pid, this.slots.size > 0);
    trace.add("pool written", { text: text.trimEnd(), errno, pool: instance.poolCpus });
    return errno;
  }

  /** Whether a descriptor's identity is the device's. */
  isDevice(identity: string): boolean {
    return identity === this.deviceIdentity;
  }

  /** The enclave behind a descriptor's identity. */
  slotOf(identity: string): Slot | undefined {
    return this.slots.get(identity);
  }

  /** NE_CREATE_VM. */
  createVm(request: Notification): Detail {
    const { scenario, trace } = this.world;
    if (!this.world.instance.pool.hasFreeCore) return refuse(request, NE_ERR.NO_CPUS_AVAIL_IN_POOL);
    // A parent instance has at most four enclaves; the errno of the fifth is a guess.
    if (this.slots.size >= scenario.maxEnclaves) return refuse(request, E.EBUSY);
    const { readEnd, writeEnd } = makePipe();
    this.created += 1;
    const uid = BigInt(firstUid + this.created);
    const bytes = fixedBytes(8);
    new DataView(bytes.buffer).setBigUint64(0, uid, true);
    const identity = identityOf("", readEnd) ?? "";
    // The pipe's read end is one open file, however many descriptors dup and fork make of it.
    const watch = this.uses.untilReaderGone(readEnd);
    if (!request.write(request.wide(2), bytes)) request.fail(E.EFAULT);
    const installed = !request.answered && request.replyWithFd(readEnd, true);
    closeFd(readEnd);
    if (!installed) {
      this.uses.forget(watch);
      closeFd(writeEnd);
      return {};
    }
    const slot: Slot = {
      ...{ number: this.created, uid, owner: request.pid, writeEnd, watch, identity, state: "init" },
      node: this.world.instance.pool.node,
      ...{ vcpus: [], ranges: [], memory: new GuestMemory(), regions: 0, imageSeen: false, cid: 0 },
    };
    this.slots.set(identity, slot);
    trace.add("slot allocated", { slot: slot.number });
    return { slot: slot.number, uid: Number(uid) };
  }

  /** NE_GET_IMAGE_LOAD_INFO: struct ne_image_load_info {u64 flags, u64 memory_offset}. */
  imageLoadInfo(request: Notification, slot: Slot): Detail {
    const info = request.read(request.wide(2), 16);
    if (info === undefined) return refuse(request, E.EFAULT);
    const flags = info.getBigUint64(0, true);
    if (slot.state !== "init") return refuse(request, NE_ERR.NOT_IN_INIT_STATE, { flags: Number(flags) });
    if (flags !== 1n) return refuse(request, NE_ERR.INVALID_FLAG_VALUE, { flags: Number(flags) });
    const { loadOffset } = this.world.scenario;
    info.setBigUint64(8, BigInt(loadOffset), true);
    return answer(request, info, { flags: 1, memoryOffset: loadOffset });
  }

  /** NE_SET_USER_MEMORY_REGION: struct ne_user_memory_region {u64 flags, u64 memory_size, u64 userspace_addr}. */
  setMemory(request: Notification, slot: Slot): Detail {
    const { scenario, hugePages } = this.world;
    const view = request.read(request.wide(2), 24);
    if (view === undefined) return refuse(request, E.EFAULT);
    const [flags, bytes, address] = [0, 8, 16].map((at) => view.getBigUint64(at, true)) as [
      bigint,
      bigint,
      bigint,
    ];
    const detail = { flags: Number(flags), bytes: Number(bytes), address: `0x${address.toString(16)}` };
    if (flags !== 0n) return refuse(request, NE_ERR.INVALID_FLAG_VALUE, detail);
    if (slot.state !== "init") return refuse(request, NE_ERR.NOT_IN_INIT_STATE, detail);
    if (slot.owner !== request.pid) return refuse(request, E.EIO, detail);
    const region = { flags, bytes, address };
    const taken =
      checkPlace(slot, region, hugePages.aligned) ??
      takeMemory(slot, { pid: request.pid, tid: request.tid, node: slot.node }, region, scenario, hugePages);
    if (!Array.isArray(taken)) {
      if (taken.leaksPage) hugePages.leak(taken.page);
      return refuse(request, taken.errno, { ...detail, ...(taken.leaksPage ? { leakedPages: 1 } : {}) });
    }
    slot.ranges.push({ address: Number(address), length: Number(bytes) });
    for (const mapping of taken) slot.memory.append(mapping, scenario.checkWrites);
    const image = this.checkNewImage(slot);
    const aligned = hugePages.aligned ? {} : { alignment: "not checked: this machine's stand-in has none" };
    request.reply(0);
    const state = { regions: slot.regions, totalBytes: slot.memory.length };
    const completeness = image === undefined ? {} : { imageComplete: image.ok, image: brief(image) };
    return { ...detail, ...aligned, ...state, ...completeness };
  }

  /** Checks whether the image is complete. Not repeated once it was, and not if the time of a launch is measured. */
  private checkNewImage(slot: Slot): ImageReport | undefined {
    const { scenario } = this.world;
    if (slot.imageSeen || !scenario.checkWrites) return undefined;
    const image = checkImage(slot.memory, scenario.loadOffset);
    slot.imageSeen = image.ok;
    return image;
  }

  /** NE_ADD_VCPU: a u32, in and out. */
  addVcpu(request: Notification, slot: Slot): Detail {
    const view = request.read(request.wide(2), 4);
    if (view === undefined) return refuse(request, E.EFAULT);
    const requested = view.getUint32(0, true);
    if (slot.state !== "init") return refuse(request, NE_ERR.NOT_IN_INIT_STATE, { requested });
    const cpu = this.world.instance.pool.add(slot, requested);
    if (cpu < 0) return refuse(request, -cpu, { requested });
    // The driver detects another address space only after it has reserved the core.
    if (slot.owner !== request.pid) return refuse(request, E.EIO, { requested });
    slot.vcpus.push(cpu);
    view.setUint32(0, cpu, true);
    return answer(request, view, { requested, cpu });
  }

  /** NE_START_ENCLAVE: struct ne_enclave_start_info {u64 flags, u64 enclave_cid}. */
  start(request: Notification, slot: Slot): Detail {
    const view = request.read(request.wide(2), 16);
    if (view === undefined) return refuse(request, E.EFAULT);
    const flags = view.getBigUint64(0, true);
    const requested = view.getBigUint64(8, true);
    const detail = {
      flags: Number(flags),
      requestedCid: Number(requested),
      vcpus: slot.vcpus,
      bytes: slot.memory.length,
    };
    const refusal = this.startRefusal(slot, flags, requested);
    if (refusal !== 0) return refuse(request, refusal, detail);
    const { scenario } = this.world;
    const image = checkImage(slot.memory, scenario.loadOffset);
    this.recordLateWrites(slot, "start");
    if (!image.ok && scenario.badImage === "refuse")
      return refuse(request, E.EINVAL, { ...detail, image: brief(image) });
    const cid = requested === 0n ? this.freeCid() : Number(requested);
    if (this.isTaken(cid)) return refuse(request, E.EBUSY, detail);
    slot.cid = cid;
    slot.state = "running";
    view.setBigUint64(8, BigInt(cid), true);
    this.launch(slot, flags === 1n, image);
    const done = answer(request, view, { ...detail, cid, regions: slot.regions, image: brief(image) });
    this.started(request.pid);
    slot.enclave?.start();
    if (!image.ok && scenario.badImage === "exit") slot.enclave?.exit("bad image");
    return done;
  }

  private startRefusal(slot: Slot, flags: bigint, cid: bigint): number {
    if (flags > 1n) return NE_ERR.INVALID_FLAG_VALUE;
    const reserved: number[] = [CID.LOCAL, CID.HOST, CID.PARENT, CID.ANY];
    if (cid > LARGEST_CID || reserved.includes(Number(cid))) return NE_ERR.INVALID_ENCLAVE_CID;
    if (slot.state !== "init") return NE_ERR.NOT_IN_INIT_STATE;
    if (slot.ranges.length === 0) return NE_ERR.NO_MEM_REGIONS_ADDED;
    if (slot.memory.length < LEAST_MEMORY) return NE_ERR.ENCLAVE_MEM_MIN_SIZE;
    if (slot.vcpus.length === 0) return NE_ERR.NO_VCPUS_ADDED;
    return this.world.instance.pool.coresComplete(slot) ? 0 : NE_ERR.FULL_CORES_NOT_USED;
  }

  private launch(slot: Slot, debug: boolean, image: ImageReport): void {
    const { scenario } = this.world;
    const { memory, cid, vcpus } = slot;
    const behaviour = { ...scenario.enclave, ...scenario.enclaves[this.enclavesStarted] };
    this.enclavesStarted += 1;
    const setup = { cid, debug, vcpus: vcpus.length, memory, loadOffset: scenario.loadOffset, image };
    slot.enclave = new Enclave(this.world, setup, behaviour, () => {
      slot.state = "stopped";
      if (slot.writeEnd !== undefined) closeFd(slot.writeEnd); // the launcher's end polls as POLLHUP from now on
      slot.writeEnd = undefined;
    });
  }

  private freeCid(): number {
    let cid = this.world.scenario.firstCid;
    while (this.isTaken(cid)) cid += 1;
    return cid;
  }

  private isTaken(cid: number): boolean {
    const running = [...this.slots.values()].some((slot) => slot.cid === cid && slot.state === "running");
    return running || this.world.scenario.takenCids.includes(cid);
  }

  /** Returns the listener on a port of the hypervisor: consoles are at 10000 + CID. */
  private consoleOn(port: number): ((fd: number) => void) | undefined {
    const enclave = [...this.slots.values()].find((slot) => slot.cid === port - 10000)?.enclave;
    return enclave?.acceptsConsole ? (fd) => enclave.console.connect(fd) : undefined;
  }

  private recordLateWrites(slot: Slot, noticed: "start" | "end"): void {
    for (const { offset, bytes } of slot.memory.changed()) {
      this.world.ledger.lateWrites.push({ slot: slot.number, offset, bytes, noticed });
      this.world.trace.add("donated memory written after donation", {
        slot: slot.number,
        offset,
        bytes,
        noticed,
      });
    }
  }

  /** Frees the enclaves whose last descriptor is closed. */
  freeReleased(): void {
    const ended = this.uses.ended();
    if (ended.size > 0)
      for (const slot of [...this.slots.values()]) if (ended.has(slot.watch)) this.free(slot);
  }

  /** The launcher has closed its last descriptor: ENCLAVE_STOP if the enclave still runs, then SLOT_FREE. */
  private free(slot: Slot): void {
    this.slots.delete(slot.identity);
    this.uses.forget(slot.watch);
    const wasRunning = slot.state === "running";
    slot.enclave?.stop();
    this.recordLateWrites(slot, "end");
    slot.memory.release();
    this.world.instance.pool.release(slot);
    if (slot.writeEnd !== undefined) closeFd(slot.writeEnd);
    this.world.trace.add("slot freed", { slot: slot.number, cid: slot.cid, wasRunning });
  }
}

function refuse(request: Notification, errno: number, detail: Detail = {}): Detail {
  request.fail(errno);
  return detail;
}

function answer(request: Notification, view: DataView<ArrayBuffer>, detail: Detail): Detail {
  if (request.write(request.wide(2), new Uint8Array(view.buffer, 0, view.byteLength))) request.reply(0);
  else request.fail(E.EFAULT);
  return detail;
}

function brief(image: ImageReport): Detail {
  const { sections, ...rest } = image;
  return { ...rest, sections: sections.map(({ type, bytes }) => `${type} ${bytes}`) };
}
