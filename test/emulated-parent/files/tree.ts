/**
 * The emulated part of the file system: files, links and devices by path, computed on access. A directory exists as
 * long as it contains something. In an opaque directory nothing of the machine is visible; elsewhere, paths that are
 * not in the tree are the machine's own.
 */
import { posix } from "node:path";

/** The calling process. */
export interface Caller {
  pid: number;
  tid: number;
}

/** A file; `read` returns null while it does not exist. Its argument is the path, because a node may serve several. */
export interface FileNode {
  kind: "file";
  /** Permission bits. */
  mode: number;
  read: (caller: Caller, path?: string) => string | null;
  /** Receives what was written in one call; returns 0 or the errno. Without it the file cannot be written. */
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

/** A node of the tree. */
export type Node = FileNode | LinkNode | DeviceNode;

/** A name in a directory. */
export interface Entry {
  name: string;
  kind: "directory" | Node["kind"];
}

/** What is at a path. */
export type Found =
  | { kind: "directory"; path: string }
  | { kind: "node"; path: string; node: Node }
  | { kind: "absent"; path: string }
  | { kind: "foreign"; path: string };

const anyProcess = "/proc/*";
const nobody: Caller = { pid: 0, tid: 0 };
const mostLinks = 40; // path_resolution(7)

/** Whether a node exists at this moment. */
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

  /** Adds a node to the tree, or replaces one. */
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

  /** Adds a text file, computed at each access. */
  file(path: string, read: FileNode["read"], mode = 0o444, write?: FileNode["write"]): void {
    this.add(path, { kind: "file", mode, read, ...(write === undefined ? {} : { write }) });
  }

  /** Adds a symbolic link. */
  link(path: string, target: () => string | null): void {
    this.add(path, { kind: "link", target });
  }

  /** Hides the machine's files of a directory. */
  hide(path: string): void {
    this.opaque.add(path);
  }

  /** Adds a directory that exists even while it is empty. */
  directory(path: string): void {
    this.lasting.add(path);
    this.names.set(path, this.names.get(path) ?? new Set());
    this.addName(path);
  }

  /** Returns what is at a path. Links on the way are followed; the last one only if `follow` is set. */
  find(path: string, caller: Caller, follow = true): Found {
    let at = posix.normalize(path.replace(/^\/proc\/(self|thread-self)(?=\/|$)/, `/proc/${caller.pid}`));
    if (at.length > 1 && at.endsWith("/")) at = at.slice(0, -1);
    for (let links = 0; links < mostLinks; links++) {
      const next = this.throughLink(at, follow);
      if (next === undefined) return this.lookUp(at, caller);
      at = next;
    }
    return { kind: "absent", path: at };
  }

  /** Returns the path with its first emulated link replaced; undefined if it has none. */
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

  private lookUp(path: string, caller: Caller): Found {
    const node = this.nodes.get(path) ?? this.nodes.get(path.replace(/^\/proc\/\d+/, anyProcess));
    if (node !== undefined)
      return exists(node, caller) ? { kind: "node", path, node } : { kind: "absent", path };
    if (this.names.has(path) && this.isOurs(path)) {
      return this.isAlive(path) ? { kind: "directory", path } : { kind: "absent", path };
    }
    return this.isOurs(path) ? { kind: "absent", path } : { kind: "foreign", path };
  }

  /** Returns whether a path is an opaque directory or in one. */
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

  /** Returns the target of a link. */
  target(path: string): string | null {
    const node = this.nodes.get(path);
    return node?.kind === "link" ? node.target() : null;
  }

  /** Returns the names in a directory, with their types. */
  list(directory: string): Entry[] {
    return [...(this.names.get(directory) ?? [])].sort().flatMap((name): Entry[] => {
      const path = `${directory}/${name}`;
      const node = this.nodes.get(path);
      if (node === undefined) return this.isAlive(path) ? [{ name, kind: "directory" }] : [];
      return exists(node, nobody) ? [{ name, kind: node.kind }] : [];
    });
  }
}
