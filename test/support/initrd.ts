/** Creates a small initramfs in the "newc" cpio format: a static busybox, and a shell script as /init. */
import { readFileSync } from "node:fs";

interface Entry {
  readonly path: string;
  /** File type and permissions, as in stat(2). */
  readonly mode: number;
  readonly content?: Uint8Array;
  /** Major and minor number of a device node. */
  readonly device?: readonly [major: number, minor: number];
}

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;
const CHARACTER_DEVICE = 0o020600;

/** Returns an archive of these entries (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function newcArchive(entries: readonly Entry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const text = new TextEncoder();
  const add = (entry: Entry, inode: number) => {
    const name = text.encode(`${entry.path}\0`);
    const content = entry.content ?? new Uint8Array(0);
    const [major, minor] = entry.device ?? [0, 0];
    const fields = [inode, entry.mode, 0, 0, 1, 0, content.length, 0, 0, major, minor, name.length, 0];
    const header = text.encode(`070701${fields.map((n) => n.toString(16).padStart(8, "0")).join("")}`);
    parts.push(header, name, padding(header.length + name.length), content, padding(content.length));
  };
  entries.forEach((entry, i) => {
    add(entry, i + 1);
  });
  add({ path: "TRAILER!!!", mode: 0 }, 0);
  return new Uint8Array(Buffer.concat(parts));
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}

/**
 * Returns an initramfs whose /init is this shell script; busybox's commands are in /bin.
 * @param busybox the path of a static busybox; by default the machine's own.
 */
export function busyboxInitrd(script: string, busybox = Bun.which("busybox")): Uint8Array {
  if (busybox === null) throw new Error("busybox is missing: apt-get install busybox-static");
  const init = `#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n${script}`;
  return newcArchive([
    ...["bin", "dev", "proc", "sys", "tmp"].map((path) => ({ path, mode: DIRECTORY })),
    { path: "dev/console", mode: CHARACTER_DEVICE, device: [5, 1] },
    { path: "bin/busybox", mode: EXECUTABLE, content: new Uint8Array(readFileSync(busybox)) },
    { path: "init", mode: EXECUTABLE, content: new TextEncoder().encode(init) },
  ]);
}
