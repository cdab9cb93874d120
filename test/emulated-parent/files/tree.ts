/**
 * The emulated part of the file system: files, links and devices by path, computed on access. A directory exists
 * as long as something in it is. Under an opaque directory nothing of the machine shows; elsewhere what is not in the tree
 * is the machine's own.
 */
import { posix } from "node:path";

/** Who asks. */
export interface Caller {
  pid: number;
  tid: number;
}

/** A file; `read` gives null while it does not exist, and gets the path where a node stands for several. */
export interface FileNode {
  kind: "file";
  /** Permission bits. */
  mode: number;
  read: (caller: Caller, path?: string) => string | null;
  /** Takes what was written in one go; gives 0 or the errno. Without it the file cannot be written. */
  write?: (text: string, caller: Caller) => number;
}

/** A symbolic link. */
export interface LinkNode {
  kind: "link";
  target: () => string | null;
}

/** A character device. */
export interface DeviceNode {
  kind: "device";
  exists: () => boolean;
  owner: () => { mode: number; uid: number; gid: number };
  number: [major: number, minor: number];
}

/** What can stand in the tree. */
export type Node = FileNode | LinkNode | DeviceNode;

/** A name in a directory. */
export interface Entry {
  name: string;
  kind: "directory" | Node["kind"];
}

/** What a path is. */
export type Found =
  | { kind: "directory"; path: string }
  | { kind: "node"; path: string; node: Node }
  | { kind: "absent"; path: string }
  | { kind: "foreign"; path: string };

const anyProcess = "/proc/*";
const nobody: Caller = { pid: 0, tid: 0 };
const mostLinks = 40; // path_resolution(7)

/** Whether a node is there at this moment. */
function exists(node: Node, caller: Caller): boolean {
  if (node.kind === "file") return node.read(caller) !== null;
  return node.kind === "link" ? node.target() !== null : node.exists();
}

/** The tree. */
export class Tree {
  private readonly nodes = new Map<string, Node>();
  private readonly names = new Map<string, Set<string>>();
  private readonly opaque = new Set<string>();
  private readonly lasting = new Set<string>();

  /** Puts a node into the tree, or in the place of another one. */
  add(path: string, node: Node): void {
    this.nodes.set(path, node);
    this.addName(path);
  }

  private addName(path: string): void {
    for (let at = path; at !== "/"; at = posix.dirname(at)) {
      const directory = posix.dirname(at);
      const names = this.names.get(directory) ?? new Set();
      const known = names.has(posix.basename(at));
      names.add(posix.basename(at));
      this.names.set(directory, names);
      if (known) return;
    }
  }

  /** A text file that changes with the state. */
  file(path: string, read: FileNode["read"], mode = 0o444, write?: FileNode["write"]): void {
    this.add(path, { kind: "file", mode, read, ...(write === undefined ? {} : { write }) });
  }

  /** A symbolic link. */
  link(path: string, target: () => string | null): void {
    this.add(path, { kind: "link", target });
  }

  /** Hides what the machine has in a directory. */
  hide(path: string): void {
    this.opaque.add(path);
  }

  /** A directory that is there even while it is empty. */
  directory(path: string): void {
    this.lasting.add(path);
    this.names.set(path, this.names.get(path) ?? new Set());
    this.addName(path);
  }

  /** What a path is, links on its way followed; the last one only where `follow` says so. */
  find(path: string, caller: Caller, follow = true): Found {
    let at = posix.normalize(path.replace(/^\/proc\/(self|thread-self)(?=\/|$)/, `/proc/${caller.pid}`));
    if (at.length > 1 && at.endsWith("/")) at = at.slice(0, -1);
    for (let links = 0; links < mostLinks; links++) {
      const next = this.throughLink(at, follow);
      if (next === undefined) return this.look(at, caller);
      at = next;
    }
    return { kind: "absent", path: at };
  }

  /** The path with its first emulated link replaced; undefined where it has none. */
  private throughLink(path: string, follow: boolean): string | undefined {
    for (let slash = path.indexOf("/", 1); ; slash = path.indexOf("/", slash + 1)) {
      const head = slash < 0 ? path : path.slice(0, slash);
      const node = this.nodes.get(head);
      if (node?.kind === "link" && (slash >= 0 || follow)) {
        const target = node.target();
        if (target !== null)
          return posix.join(posix.resolve(posix.dirname(head), target), path.slice(head.length));
      }
      if (slash < 0) return undefined;
    }
  }

  private look(path: string, caller: Caller): Found {
    const node = this.nodes.get(path) ?? this.nodes.get(path.replace(/^\/proc\/\d+/, anyProcess));
    if (node !== undefined)
      return exists(node, caller) ? { kind: "node", path, node } : { kind: "absent", path };
    if (this.names.has(path) && this.isOurs(path)) {
      return this.isAlive(path) ? { kind: "directory", path } : { kind: "absent", path };
    }
    return this.isOurs(path) ? { kind: "absent", path } : { kind: "foreign", path };
  }

  /** Whether a path is in an opaque directory, or is one. */
  private isOurs(path: string): boolean {
    for (let at = path; at !== "/" && at !== "."; at = posix.dirname(at))
      if (this.opaque.has(at)) return true;
    return false;
  }

  private isAlive(directory: string): boolean {
    if (this.lasting.has(directory)) return true;
    for (const name of this.names.get(directory) ?? []) {
      const path = `${directory}/${name}`;
      const node = this.nodes.get(path);
      if (node === undefined ? this.isAlive(path) : exists(node, nobody)) return true;
    }
    return false;
  }

  /** Where a link leads. */
  target(path: string): string | null {
    const node = this.nodes.get(path);
    return node?.kind === "link" ? node.target() : null;
  }

  /** The names in a directory, with what they are. */
  list(directory: string): Entry[] {
    return [...(this.names.get(directory) ?? [])].sort().flatMap((name): Entry[] => {
      const path = `${directory}/${name}`;
      const node = this.nodes.get(path);
      if (node === undefined) return this.isAlive(path) ? [{ name, kind: "directory" }] : [];
      return exists(node, nobody) ? [{ name, kind: node.kind }] : [];
    });
  }
}
