/** A system with only the files that a test gives, as text by path. */
import { KERNEL_ARCHITECTURE } from "../../../src/sys/architecture.ts";
import { viewOf } from "../../../src/sys/libc.ts";
import { linuxDirent64 } from "../../../src/sys/linux/dirent.ts";
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import { SYSCALLS } from "../../../src/sys/linux/unistd.ts";
import type { System } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

/** Returns a system whose open, read, getdents64 and close see only `files` and their directories; others are ENOENT. */
export function systemWith(files: Readonly<Record<string, string | number>>): System {
  const opened: Uint8Array[] = [];
  const listings = new Map<number, readonly string[]>();
  const paths = Object.keys(files);
  return fakeLibc({
    open: (path) => {
      if (!(path instanceof Uint8Array)) throw new Error("open expects a path");
      const name = new TextDecoder().decode(path).replace(/\0$/, "");
      const isDirectory = paths.some((each) => each.startsWith(`${name}/`));
      if (files[name] === undefined && !isDirectory) return -1;
      opened.push(new TextEncoder().encode(`${files[name] ?? ""}\n`));
      const fd = 1000 + opened.length - 1;
      if (isDirectory) listings.set(fd, namesIn(name, paths));
      return fd;
    },
    syscall: (nr, fd, address) => {
      const names = listings.get(Number(fd));
      if (nr !== SYSCALLS.getdents64[KERNEL_ARCHITECTURE] || names === undefined) return -1;
      listings.set(Number(fd), []);
      return writeDirents(Number(address), names);
    },
    read: (fd, into) => {
      const rest = opened[Number(fd) - 1000];
      if (!(into instanceof Uint8Array) || rest === undefined) throw new Error("read expects a buffer");
      const chunk = rest.subarray(0, into.length);
      into.set(chunk);
      opened[Number(fd) - 1000] = rest.subarray(chunk.length);
      return chunk.length;
    },
    close: () => 0,
    socket: () => -1,
    errno: () => ERRNO.ENOENT,
  });
}

function namesIn(directory: string, paths: readonly string[]): string[] {
  const inside = paths.filter((path) => path.startsWith(`${directory}/`));
  return [...new Set(inside.map((path) => path.slice(directory.length + 1).split("/")[0] ?? ""))];
}

/** Writes the records of names to an address; returns their length in bytes. */
function writeDirents(address: number, names: readonly string[]): number {
  const records = names.map((name) => new TextEncoder().encode(`${name}\0`));
  const lengths = records.map((bytes) => Math.ceil((linuxDirent64.size + bytes.length) / 8) * 8);
  const length = lengths.reduce((sum, each) => sum + each, 0);
  const all = viewOf(address, length).fill(0);
  const view = new DataView(all.buffer, all.byteOffset, length);
  let at = 0;
  for (const [i, bytes] of records.entries()) {
    view.setUint16(at + linuxDirent64.offsets.d_reclen, lengths[i] ?? 0, true);
    all.set(bytes, at + linuxDirent64.size);
    at += lengths[i] ?? 0;
  }
  return length;
}

/** Returns the sysfs counters of huge pages of a size, for the machine or for a node. */
export function counters(
  pageBytes: number,
  figures: { readonly total: number; readonly free: number; readonly reserved?: number },
  node?: number,
): Record<string, number> {
  const base = node === undefined ? "/sys/kernel/mm" : `/sys/devices/system/node/node${node}`;
  const directory = `${base}/hugepages/hugepages-${pageBytes / 1024}kB`;
  return {
    [`${directory}/nr_hugepages`]: figures.total,
    [`${directory}/free_hugepages`]: figures.free,
    ...(node === undefined ? { [`${directory}/resv_hugepages`]: figures.reserved ?? 0 } : {}),
  };
}
