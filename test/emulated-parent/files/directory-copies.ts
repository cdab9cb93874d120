/**
 * Directories that can be listed. The descriptor of an emulated directory is one of a real directory in a tmpfs that is
 * mounted nowhere; it has an empty file, a link or a directory for each name, and is updated when it is opened. Paths
 * in the tmpfs are those of the emulated tree, so that the kernel's own name of such a descriptor is the emulated path.
 */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { makeTmpfs, openFile } from "../sys/files.ts";
import { O } from "../sys/kernel.ts";
import type { Tree } from "./tree.ts";

/** The copies of a tree's directories. */
export class DirectoryCopies {
  private readonly base: string;
  private readonly onDisk: boolean;

  constructor(private readonly tree: Tree) {
    const mount = makeTmpfs();
    this.onDisk = mount === undefined;
    // If the kernel refuses a mount, a directory in /dev/shm is used; `close` removes it.
    this.base = mount === undefined ? mkdtempSync("/dev/shm/parent-") : `/proc/self/fd/${mount}`;
  }

  /** Removes what would outlast the run. */
  close(): void {
    if (this.onDisk) rmSync(this.base, { recursive: true, force: true });
  }

  /** Returns the emulated path for a descriptor's name in /proc. */
  pathOf(name: string): string {
    return this.onDisk && name.startsWith(this.base) ? name.slice(this.base.length) || "/" : name;
  }

  /** Returns device and inode of a directory's copy. */
  identity(directory: string): { device: number; inode: number } {
    this.make(directory);
    const { dev, ino } = lstatSync(`${this.base}${directory}`);
    return { device: dev, inode: ino };
  }

  /** Opens a directory's copy in its present state; returns the descriptor or the negated errno. */
  open(directory: string): number {
    this.make(directory);
    const place = `${this.base}${directory}`;
    const wanted = new Map(this.tree.list(directory).map(({ name, kind }) => [name, kind]));
    const there = new Map(readdirSync(place, { withFileTypes: true }).map((entry) => [entry.name, entry]));
    for (const name of there.keys()) if (!wanted.has(name)) rmSync(`${place}/${name}`, { recursive: true });
    for (const [name, kind] of wanted) {
      if (there.has(name)) continue;
      if (kind === "directory") mkdirSync(`${place}/${name}`);
      else if (kind === "link")
        symlinkSync(this.tree.target(`${directory}/${name}`) ?? "", `${place}/${name}`);
      else writeFileSync(`${place}/${name}`, "");
    }
    return openFile(place, O.DIRECTORY);
  }

  private make(directory: string): void {
    mkdirSync(`${this.base}${directory}`, { recursive: true });
  }
}

/** Returns the path of a process's descriptor or working directory; undefined if it is unknown. */
export function directoryOf(tid: number, descriptor: number | undefined): string | undefined {
  try {
    return readlinkSync(descriptor === undefined ? `/proc/${tid}/cwd` : `/proc/${tid}/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}
