/** A system whose files are a test's: by path their text, no others; directories are paths that others go through. */
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import type { System } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

/** Answers open, read and close from `files`; what is not among them is not there. */
export function systemWith(files: Readonly<Record<string, string | number>>): System {
  const opened: Uint8Array[] = [];
  const paths = Object.keys(files);
  return fakeLibc({
    open: (path) => {
      if (!(path instanceof Uint8Array)) throw new Error("open wants a path");
      const name = new TextDecoder().decode(path).replace(/\0$/, "");
      const isDirectory = paths.some((each) => each.startsWith(`${name}/`));
      if (files[name] === undefined && !isDirectory) return -1;
      opened.push(new TextEncoder().encode(`${files[name] ?? ""}\n`));
      return 1000 + opened.length - 1;
    },
    read: (fd, into) => {
      const rest = opened[Number(fd) - 1000];
      if (!(into instanceof Uint8Array) || rest === undefined) throw new Error("read wants a buffer");
      const taken = rest.subarray(0, into.length);
      into.set(taken);
      opened[Number(fd) - 1000] = rest.subarray(taken.length);
      return taken.length;
    },
    close: () => 0,
    errno: () => ERRNO.ENOENT,
  });
}

/** Counters of pages of a size, where sysfs has them: of the machine, or of a node. */
export function counters(
  pageBytes: number,
  figures: { readonly total: number; readonly free: number; readonly reserved?: number },
  node?: number,
): Record<string, number> {
  const place = node === undefined ? "/sys/kernel/mm" : `/sys/devices/system/node/node${node}`;
  const directory = `${place}/hugepages/hugepages-${pageBytes / 1024}kB`;
  return {
    [`${directory}/nr_hugepages`]: figures.total,
    [`${directory}/free_hugepages`]: figures.free,
    ...(node === undefined ? { [`${directory}/resv_hugepages`]: figures.reserved ?? 0 } : {}),
  };
}
