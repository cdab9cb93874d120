/** A system with only the files that a test gives, as text by path. */
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import type { System } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

/** Returns a system whose open, read and close see only `files` and their directories; others are ENOENT. */
export function systemWith(files: Readonly<Record<string, string | number>>): System {
  const opened: Uint8Array[] = [];
  const paths = Object.keys(files);
  return fakeLibc({
    open: (path) => {
      if (!(path instanceof Uint8Array)) throw new Error("open expects a path");
      const name = new TextDecoder().decode(path).replace(/\0$/, "");
      const isDirectory = paths.some((each) => each.startsWith(`${name}/`));
      if (files[name] === undefined && !isDirectory) return -1;
      opened.push(new TextEncoder().encode(`${files[name] ?? ""}\n`));
      return 1000 + opened.length - 1;
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
