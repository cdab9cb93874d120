/**
 * The probe with steps about the location of memory: the node of each page, physical order, and other mappings.
 *
 *    bun test/emulated-parent/memory-probe.ts '[["mapOn", 64], ["allocate", 64], …]'
 */
import { Probe, runSteps } from "./probe.ts";
import { closeFd, readAt } from "./sys/files.ts";
import { GET_LOCAL_CID, HUGE_PAGE, MADV, MAP, MFD, NR, O, PROT } from "./sys/kernel.ts";
import { addressOf, call, cString, fixedBytes, viewOf } from "./sys/libc.ts";

const SMALL_PAGE = 4096;

function maskOf(nodes: readonly number[]): BigUint64Array {
  const mask = new BigUint64Array(new ArrayBuffer(128));
  for (const node of nodes) mask[node >> 6] = (mask[node >> 6] ?? 0n) | (1n << BigInt(node & 63));
  return mask;
}

class MemoryProbe extends Probe {
  private file = -1;
  private pageBytes = HUGE_PAGE;

  /** Maps huge pages and keeps their file open; touches nothing. */
  mapFile(mebibytes: number, shift = 21, flags = 0): number {
    const name = cString("probe");
    const kind = MFD.CLOEXEC | MFD.HUGETLB | (shift << MFD.HUGE_SHIFT);
    this.file = call(NR.memfd_create, addressOf(name), kind);
    if (this.file < 0) return this.file;
    this.pageBytes = 2 ** shift;
    const length = mebibytes * 1024 * 1024;
    const cut = call(NR.ftruncate, this.file, length);
    if (cut < 0) return cut;
    const address = call(NR.mmap, 0, length, PROT.READ | PROT.WRITE, MAP.SHARED | flags, this.file, 0);
    if (address < 0) return address;
    this.memory = address;
    return 0;
  }

  /** Maps pages of the file, given by their numbers, one after another at the beginning of the memory. */
  remap(pages: number[]): number {
    for (const [place, page] of pages.entries()) {
      const at = this.memory + place * this.pageBytes;
      const flags = MAP.SHARED | MAP.FIXED;
      const offset = page * this.pageBytes;
      const result = call(NR.mmap, at, this.pageBytes, PROT.READ | PROT.WRITE, flags, this.file, offset);
      if (result < 0) return result;
    }
    return 0;
  }

  truncate(bytes: number): number {
    return call(NR.ftruncate, this.file, bytes);
  }

  allocate(mebibytes: number, offset = 0): number {
    return call(NR.fallocate, this.file, 0, offset * 1024 * 1024, mebibytes * 1024 * 1024);
  }

  punch(firstPage: number, count: number): number {
    return call(NR.fallocate, this.file, 3, firstPage * this.pageBytes, count * this.pageBytes);
  }

  populate(mebibytes: number, offset = 0): number {
    const start = this.memory + offset * 1024 * 1024;
    return call(NR.madvise, start, mebibytes * 1024 * 1024, MADV.POPULATE_WRITE);
  }

  touch(mebibytes: number): number {
    for (let at = 0; at < mebibytes * 1024 * 1024; at += this.pageBytes) viewOf(this.memory + at, 1)[0] = 1;
    return 0;
  }

  closeFile(mebibytes: number): number {
    this.unmap(mebibytes);
    return call(NR.close, this.file);
  }

  policy(mode: number, nodes: number[] = []): number {
    const mask = maskOf(nodes);
    return call(
      NR.set_mempolicy,
      mode,
      nodes.length === 0 ? 0 : addressOf(mask),
      nodes.length === 0 ? 0 : 1025,
    );
  }

  bind(mebibytes: number, mode: number, nodes: number[], flags = 0): number {
    const mask = maskOf(nodes);
    return call(NR.mbind, this.memory, mebibytes * 1024 * 1024, mode, addressOf(mask), 1025, flags);
  }

  /** Returns the result of get_mempolicy: mode or node, then the nodes; or the negated errno. */
  getPolicy(flags: number, page?: number): number | number[] {
    const mode = fixedBytes(4);
    const mask = fixedBytes(128);
    const address = page === undefined ? 0 : this.memory + page * this.pageBytes;
    const result = call(NR.get_mempolicy, addressOf(mode), addressOf(mask), 1024, address, flags);
    if (result < 0) return result;
    const nodes = Array.from({ length: 1024 }, (_, node) => node).filter(
      (node) => ((mask[node >> 3] ?? 0) & (1 << (node & 7))) !== 0,
    );
    return [new DataView(mode.buffer).getInt32(0, true), ...nodes];
  }

  /** Returns the result of move_pages, which moves the pages if nodes are given. */
  nodes(count: number, wanted?: number[]): number | number[] {
    const addresses = new BigUint64Array(
      Array.from({ length: count }, (_, index) => BigInt(this.memory + index * this.pageBytes)),
    );
    const targets = new Int32Array(wanted ?? [0]);
    const status = new Int32Array(count);
    const nodesAt = wanted === undefined ? 0 : addressOf(targets);
    const flags = wanted === undefined ? 0 : 2;
    const result = call(NR.move_pages, 0, count, addressOf(addresses), nodesAt, addressOf(status), flags);
    return result < 0 ? result : [...status];
  }

  /** Returns the page map's entry of the first small page of each page: whether it is present, and its frame. */
  frames(count: number): number | string[] {
    const name = cString("/proc/self/pagemap");
    const fd = call(NR.openat, -100, addressOf(name), O.CLOEXEC);
    if (fd < 0) return fd;
    const entries = Array.from({ length: count }, (_, index) => {
      const small = (this.memory + index * this.pageBytes) / SMALL_PAGE;
      const bytes = readAt(fd, 8, small * 8);
      const entry = new DataView(bytes.buffer).getBigUint64(0, true);
      return `${entry >> 63n} ${entry & ((1n << 55n) - 1n)}`;
    });
    closeFd(fd);
    return entries;
  }

  /** Returns the number of physically contiguous ascending runs of pages. */
  runs(count: number): number {
    const entries = this.frames(count);
    if (typeof entries === "number") return entries;
    let runs = 0;
    let expected = -1;
    for (const entry of entries) {
      const frame = Number(entry.split(" ")[1]);
      if (frame !== expected) runs += 1;
      expected = frame + this.pageBytes / SMALL_PAGE;
    }
    return runs;
  }

  /** Returns what a shell script prints. */
  shell(script: string): string {
    return Bun.spawnSync(["sh", "-c", script], { stderr: "ignore" }).stdout.toString();
  }

  /** Returns the parent's own CID, from /dev/vsock. */
  localCid(): number {
    const name = cString("/dev/vsock");
    const fd = call(NR.openat, -100, addressOf(name), O.CLOEXEC);
    if (fd < 0) return fd;
    const cell = fixedBytes(4);
    const result = call(NR.ioctl, fd, GET_LOCAL_CID, addressOf(cell));
    closeFd(fd);
    return result < 0 ? result : new DataView(cell.buffer).getUint32(0, true);
  }
}

if (import.meta.main) runSteps(new MemoryProbe(), process.argv[2]);
