/**
 * A launcher for tests of the emulated parent itself: executes its steps, valid or not, and prints each step's result.
 *
 *    bun test/emulated-parent/probe.ts '[["open"], ["create"], ["map", 64], …]'
 *
 * A result is the call's own, negative errno included. The steps are the methods of Probe.
 */

import { closeFd, readiness, readSome, writeSome } from "./sys/files.ts";
import { AF, HUGE_PAGE, MAP, MFD, NE, NR, O, POLL, PROT, SOCK } from "./sys/kernel.ts";
import { addressOf, call, fixedBytes, viewOf } from "./sys/libc.ts";
import { tinyImage } from "./tiny-image.ts";

const path = (text: string): Uint8Array<ArrayBuffer> => {
  const bytes = fixedBytes(text.length + 1);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
};

function sockaddrVm(cid: number, port: number): Uint8Array<ArrayBuffer> {
  const bytes = fixedBytes(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF.VSOCK, true);
  view.setUint32(4, port, true);
  view.setUint32(8, cid, true);
  return bytes;
}

/** The steps. */
export class Probe {
  private device = -1;
  private enclave = -1;
  protected memory = 0;
  private listener = -1;
  private console = -1;
  private cid = 0;

  open(): number {
    const name = path("/dev/nitro_enclaves");
    this.device = call(NR.openat, -100, addressOf(name), O.RDWR | O.CLOEXEC);
    return Math.min(this.device, 0);
  }

  create(): number {
    const uid = fixedBytes(8);
    this.enclave = call(NR.ioctl, this.device, NE.NE_CREATE_VM, addressOf(uid));
    return this.enclave < 0 ? this.enclave : Number(new DataView(uid.buffer).getBigUint64(0, true) > 0n);
  }

  loadInfo(flags: number): number {
    const info = fixedBytes(16);
    const view = new DataView(info.buffer);
    view.setBigUint64(0, BigInt(flags), true);
    const result = call(NR.ioctl, this.enclave, NE.NE_GET_IMAGE_LOAD_INFO, addressOf(info));
    return result < 0 ? result : Number(view.getBigUint64(8, true));
  }

  /** Maps huge pages (of the given power of two) for the following steps. */
  map(mebibytes: number, shift = 21): number {
    const name = path("probe");
    const fd = call(NR.memfd_create, addressOf(name), MFD.CLOEXEC | MFD.HUGETLB | (shift << MFD.HUGE_SHIFT));
    if (fd < 0) return fd;
    const length = mebibytes * 1024 * 1024;
    call(NR.ftruncate, fd, length);
    const address = call(NR.mmap, 0, length, PROT.READ | PROT.WRITE, MAP.SHARED, fd, 0);
    closeFd(fd);
    if (address < 0) return address;
    this.memory = address;
    return 0;
  }

  /** Maps ordinary memory instead of huge pages. */
  mapSmall(mebibytes: number): number {
    const length = (mebibytes + 2) * 1024 * 1024;
    const address = call(NR.mmap, 0, length, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0);
    this.memory = Math.ceil(address / HUGE_PAGE) * HUGE_PAGE;
    return Math.min(address, 0);
  }

  unmap(mebibytes: number): number {
    return call(NR.munmap, this.memory, mebibytes * 1024 * 1024);
  }

  /** Puts a tiny image 8 MiB into the memory; with `broken` one byte of it is wrong. */
  image(kernelBytes = 100_000, broken = false): number {
    const bytes = tinyImage(kernelBytes);
    if (broken) bytes[1000] = 1;
    viewOf(this.memory + 4 * HUGE_PAGE, bytes.length).set(bytes);
    return bytes.length;
  }

  write(offset: number, value: number): number {
    viewOf(this.memory + offset, 1)[0] = value;
    return 0;
  }

  donate(offset: number, bytes: number, flags = 0): number {
    const region = fixedBytes(24);
    const view = new DataView(region.buffer);
    view.setBigUint64(0, BigInt(flags), true);
    view.setBigUint64(8, BigInt(bytes), true);
    view.setBigUint64(16, BigInt(this.memory + offset), true);
    return call(NR.ioctl, this.enclave, NE.NE_SET_USER_MEMORY_REGION, addressOf(region));
  }

  /** Donates whole mebibytes from the beginning of the memory. */
  donateAll(mebibytes: number): number {
    return this.donate(0, mebibytes * 1024 * 1024);
  }

  /** Donates an address that is not mapped. */
  donateAt(address: string, bytes: number): number {
    const region = fixedBytes(24);
    const view = new DataView(region.buffer);
    view.setBigUint64(8, BigInt(bytes), true);
    view.setBigUint64(16, BigInt(address), true);
    return call(NR.ioctl, this.enclave, NE.NE_SET_USER_MEMORY_REGION, addressOf(region));
  }

  vcpu(id: number): number {
    const cell = fixedBytes(4);
    const view = new DataView(cell.buffer);
    view.setUint32(0, id, true);
    const result = call(NR.ioctl, this.enclave, NE.NE_ADD_VCPU, addressOf(cell));
    return result < 0 ? result : view.getUint32(0, true);
  }

  start(flags: number, cid: number | string): number {
    const info = fixedBytes(16);
    const view = new DataView(info.buffer);
    view.setBigUint64(0, BigInt(flags), true);
    view.setBigUint64(8, BigInt(cid), true);
    const result = call(NR.ioctl, this.enclave, NE.NE_START_ENCLAVE, addressOf(info));
    if (result === 0) this.cid = Number(view.getBigUint64(8, true));
    return result < 0 ? result : this.cid;
  }

  listen(port: number, cid = 0xffffffff, blocking = false): number {
    const type = SOCK.STREAM | SOCK.CLOEXEC | (blocking ? 0 : SOCK.NONBLOCK);
    this.listener = call(NR.socket, AF.VSOCK, type, 0);
    if (this.listener < 0) return this.listener;
    const address = sockaddrVm(cid, port);
    const bound = call(NR.bind, this.listener, addressOf(address), 16);
    return bound < 0 ? bound : call(NR.listen, this.listener, 8);
  }

  /** Accepts one connection, echoes a byte (or sends another one) and closes it; returns the peer's CID. */
  answer(byte?: number): number {
    this.wait(this.listener, POLL.IN, 10_000);
    return this.acceptAndAnswer(byte);
  }

  /** Does the same without a check for a pending connection. */
  acceptAndAnswer(byte?: number): number {
    const address = sockaddrVm(0, 0);
    const length = fixedBytes(4);
    length[0] = 16;
    const peer = call(NR.accept4, this.listener, addressOf(address), addressOf(length), SOCK.CLOEXEC);
    if (peer < 0) return peer;
    const cell = fixedBytes(1);
    readSome(peer, cell);
    if (byte !== undefined) cell[0] = byte;
    writeSome(peer, cell);
    closeFd(peer);
    return new DataView(address.buffer).getUint32(8, true);
  }

  private wait(fd: number, events: number, ms: number): number {
    const end = performance.now() + ms;
    let ready = readiness(fd, events);
    while (ready === 0 && performance.now() < end) {
      Bun.sleepSync(1);
      ready = readiness(fd, events);
    }
    return ready;
  }

  openConsole(): number {
    this.console = call(NR.socket, AF.VSOCK, SOCK.STREAM | SOCK.CLOEXEC, 0);
    if (this.console < 0) return this.console;
    const address = sockaddrVm(0, 10000 + this.cid);
    return call(NR.connect, this.console, addressOf(address), 16);
  }

  /**
   * Reads a number of bytes of the console, or all until its end. Returns the text, or for many bytes only count and
   * CRC.
   */
  readConsole(bytes: number): string {
    const parts: Uint8Array[] = [];
    let total = 0;
    const buffer = fixedBytes(Math.min(bytes, 1 << 20));
    while (total < bytes) {
      const got = readSome(this.console, buffer.subarray(0, Math.min(buffer.length, bytes - total)));
      if (got <= 0) break;
      parts.push(buffer.slice(0, got));
      total += got;
    }
    const all = Buffer.concat(parts);
    return total <= 1000 ? all.toString("latin1") : `${total} bytes, CRC ${Bun.hash.crc32(all)}`;
  }

  closeConsole(): number {
    return call(NR.close, this.console);
  }

  /** Returns the poll events of the enclave's descriptor within a time. */
  pollEnclave(ms: number): number {
    return this.wait(this.enclave, 0, ms);
  }

  close(): number {
    return call(NR.close, this.enclave);
  }

  sleep(ms: number): number {
    Bun.sleepSync(ms);
    return 0;
  }

  readFile(name: string): string {
    const fd = call(NR.openat, -100, addressOf(path(name)), O.CLOEXEC);
    if (fd < 0) return String(fd);
    const buffer = fixedBytes(4096);
    const got = readSome(fd, buffer);
    closeFd(fd);
    return Buffer.from(buffer.subarray(0, Math.max(0, got))).toString("latin1");
  }

  /** Measures an open of an emulated file, in microseconds. */
  timeOpens(count: number): number {
    const name = path("/dev/nitro_enclaves");
    const begun = performance.now();
    for (let index = 0; index < count; index++) closeFd(call(NR.openat, -100, addressOf(name), O.CLOEXEC));
    return ((performance.now() - begun) * 1000) / count;
  }

  /** Measures an open that the supervisor lets the kernel execute, in microseconds. */
  timePassed(count: number): number {
    const name = path("/dev/null");
    const begun = performance.now();
    for (let index = 0; index < count; index++) closeFd(call(NR.openat, -100, addressOf(name), O.CLOEXEC));
    return ((performance.now() - begun) * 1000) / count;
  }
}

/** Executes the steps of a JSON list and prints each one's result. */
export function runSteps(probe: Probe, json = "[]"): void {
  const steps = JSON.parse(json) as [string, ...unknown[]][];
  const results = steps.map(([name, ...args]) => {
    const step: unknown = Reflect.get(probe, name);
    if (typeof step !== "function") throw new Error(`no step ${name}`);
    return Reflect.apply(step, probe, args) as unknown;
  });
  console.log(JSON.stringify(results));
}

if (import.meta.main) runSteps(new Probe(), process.argv[2]);
