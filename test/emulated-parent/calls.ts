/** Answers each trapped call: finds its subject, applies faults, and passes it to the part that emulates it. */

import type { Described } from "./described.ts";
import type { Detail, Driver } from "./driver/driver.ts";
import {
  deviceRefusal,
  deviceStatus,
  directoryStatus,
  emulatedDirectories,
  emulatedFiles,
  fileStatus,
  openEmulated,
} from "./emulated-files.ts";
import type { Faults } from "./faults.ts";
import { DEVICE_PATH } from "./files/driver-files.ts";
import { accessOf } from "./files/permission.ts";
import type { Notification } from "./notification.ts";
import { answerStatus, pathArgument } from "./path-status.ts";
import { E, errnoName } from "./sys/errno.ts";
import { GET_LOCAL_CID, NE, NR, O } from "./sys/kernel.ts";
import { identityOfDescriptor, memoryUse, readText } from "./sys/processes.ts";
import type { VsockAddress } from "./vsock.ts";
import type { World } from "./world.ts";

const callNames = new Map<number, string>(Object.entries(NR).map(([name, nr]) => [nr, name]));
const requestNames = new Map<number, string>(Object.entries(NE).map(([name, code]) => [code, name]));
requestNames.set(GET_LOCAL_CID, "IOCTL_VM_SOCKETS_GET_LOCAL_CID");
const socketCalls: number[] = [NR.bind, NR.connect, NR.accept, NR.accept4, NR.getsockname, NR.getpeername];

/** One call, with what is known about it. */
interface Call {
  request: Notification;
  name: string;
  /** The path of an open, `vsock` or `other` for a socket's call, otherwise empty. */
  subject: string;
  arrivedMs: number;
  /** The details for the trace; undefined for calls that have nothing to do with the emulation. */
  detail: Detail | undefined;
}

/** Answers calls, one at a time. */
export class Calls {
  private readonly files;
  private readonly directories;
  private executed = false;

  constructor(
    private readonly world: World,
    private readonly driver: Driver,
    private readonly faults: Faults,
    /** Answers first if the scenario describes an instance. */
    private readonly described?: Described,
  ) {
    this.files = emulatedFiles(world.scenario, world.hugePages);
    this.directories = emulatedDirectories(this.files);
  }

  /** Answers a call, or arranges that it is answered later. */
  answer(request: Notification): void {
    const { trace, ledger } = this.world;
    const begun = performance.now();
    if (!this.executed && request.nr === NR.execve) {
      this.executed = true;
      trace.start();
      trace.add("execve", { pid: request.pid });
    }
    const name = request.nr === NR.ioctl ? requestNames.get(request.u32(1)) : callNames.get(request.nr);
    const call: Call = {
      request,
      name: name ?? "unknown",
      subject: "",
      arrivedMs: trace.now(),
      detail: undefined,
    };
    call.subject = this.subjectOf(request);
    this.faults.sendDue("enter", call.name, call.subject, request.pid);
    const hit = this.faults.hit(call.name, call.subject);
    const finish = (): void => {
      if (hit?.errno !== undefined) {
        call.detail = { injected: true, ...(call.subject === "" ? {} : { path: call.subject }) };
        request.fail(hit.errno);
      } else this.serve(call);
      this.report(call);
      this.faults.sendDue("exit", call.name, call.subject, request.pid);
    };
    if (hit !== undefined && hit.delayMs > 0) this.world.loop.after(hit.delayMs, finish);
    else finish();
    ledger.supervisorMs += performance.now() - begun;
  }

  private subjectOf(request: Notification): string {
    const { nr } = request;
    const named = this.described?.subjectOf(request);
    if (named !== undefined) return named;
    if (nr === NR.openat) return readText(request.tid, request.wide(1)) ?? "";
    if (nr === NR.open) return readText(request.tid, request.wide(0)) ?? "";
    const path = pathArgument(nr);
    if (path !== undefined) return readText(request.tid, request.wide(path)) ?? "";
    if (socketCalls.includes(nr)) return this.world.vsock.owns(request) ? "vsock" : "other";
    return "";
  }

  private serve(call: Call): void {
    const { request } = call;
    if (this.serveDescribed(call)) return;
    switch (request.nr) {
      case NR.openat:
        return this.open(call, request.u32(2));
      case NR.open:
        return this.open(call, request.u32(1));
      case NR.ioctl:
        return this.ioctl(call);
      case NR.memfd_create:
        call.detail = { name: readText(request.tid, request.wide(0)), flags: request.u32(1) };
        return this.world.hugePages.create(request);
      case NR.mmap:
        return this.world.hugePages.map(request);
      case NR.fstatfs:
        return this.world.hugePages.fileSystem(request);
      case NR.fcntl:
        return this.world.hugePages.seal(request);
      case NR.execve:
        request.forgetProcess();
        this.described?.forget(request.pid);
        return request.proceed();
      case NR.exit_group:
        if (this.world.ledger.peaks.has(request.pid)) this.sample(call);
        return request.proceed();
      default:
        return pathArgument(request.nr) === undefined ? this.socketCall(call) : this.status(call);
    }
  }

  /** Lets a described instance answer the call. All other calls are the same with and without a topology. */
  private serveDescribed(call: Call): boolean {
    const detail = this.described === undefined ? null : this.described.serve(call.request, call.subject);
    if (detail === null) return false;
    call.detail = detail;
    return true;
  }

  private open(call: Call, flags: number): void {
    const { request, subject: path } = call;
    if (path === DEVICE_PATH) {
      const refusal = deviceRefusal(this.world.instance, request.pid, accessOf(flags));
      call.detail = { path };
      if (refusal !== 0) return request.fail(refusal);
      request.replyWithFd(this.driver.deviceFd, (flags & O.CLOEXEC) !== 0);
      return;
    }
    const content = this.files.get(path);
    if (content === undefined) return request.proceed();
    call.detail = { path };
    openEmulated(request, content, flags);
  }

  /** stat, access and similar calls. */
  private status(call: Call): void {
    const { request, subject: path } = call;
    const { instance } = this.world;
    const content = this.files.get(path);
    if (this.directories.has(path)) return answerStatus(request, directoryStatus(this.files, path), () => 0);
    if (path !== DEVICE_PATH && content === undefined) return request.proceed();
    call.detail = { path };
    if (content !== undefined) {
      return answerStatus(request, fileStatus(content), (bits) => ((bits & 3) === 0 ? 0 : E.EACCES));
    }
    answerStatus(request, deviceStatus(instance), (bits) => deviceRefusal(instance, request.pid, bits));
  }

  private ioctl(call: Call): void {
    const { request, name } = call;
    const identity = identityOfDescriptor(request.tid, request.i32(0)) ?? "";
    const slot = this.driver.slotOf(identity);
    const isDevice = this.driver.isDevice(identity);
    if (slot === undefined && !isDevice) return request.proceed();
    this.sample(call);
    if (isDevice !== (name === "NE_CREATE_VM")) {
      call.detail = {};
      return request.fail(E.ENOTTY);
    }
    if (slot === undefined) call.detail = this.driver.createVm(request);
    else if (name === "NE_ADD_VCPU") call.detail = this.driver.addVcpu(request, slot);
    else if (name === "NE_GET_IMAGE_LOAD_INFO") call.detail = this.driver.imageLoadInfo(request, slot);
    else if (name === "NE_SET_USER_MEMORY_REGION") call.detail = this.driver.setMemory(request, slot);
    else call.detail = this.driver.start(request, slot);
    if (slot !== undefined) call.detail = { slot: slot.number, ...call.detail };
  }

  private socketCall(call: Call): void {
    const { request, subject } = call;
    const { vsock } = this.world;
    if (request.nr === NR.socket) {
      call.detail = { family: "AF_VSOCK" };
      return vsock.create(request);
    }
    if (request.nr === NR.getsockopt) return vsock.getError(request);
    if (request.nr === NR.setsockopt) return vsock.setOption(request);
    if (subject !== "vsock") return request.proceed();
    let address: VsockAddress | undefined;
    if (request.nr === NR.bind) address = vsock.bind(request);
    else if (request.nr === NR.connect) address = vsock.connect(request);
    else if (request.nr === NR.accept4) address = vsock.accept(request, request.u32(3));
    else if (request.nr === NR.accept) address = vsock.accept(request, 0);
    else if (request.nr === NR.getsockname) return vsock.getName(request, "local");
    else if (request.nr === NR.getpeername) return vsock.getName(request, "peer");
    call.detail = { ...address };
    // Calls that are trapped for a fault only, such as listen, are executed by the kernel.
    if (!request.answered && request.nr !== NR.accept && request.nr !== NR.accept4) request.proceed();
  }

  /** Records the caller's memory. Only callers of the driver, which are launchers, are sampled. */
  private sample(call: Call): void {
    const { pid } = call.request;
    this.world.ledger.sample(pid, call.name, memoryUse(pid));
  }

  private report(call: Call): void {
    const { request, name, detail, arrivedMs } = call;
    this.world.ledger.count(name, detail === undefined ? undefined : arrivedMs);
    if (detail === undefined) return;
    const { outcome } = request;
    const result =
      outcome === undefined ? {} : outcome < 0 ? { error: errnoName(-outcome) } : { result: outcome };
    const tookMs = Math.round((this.world.trace.now() - arrivedMs) * 1000) / 1000;
    this.world.trace.add(name, { t: arrivedMs, tookMs, pid: request.pid, ...detail, ...result });
  }
}
