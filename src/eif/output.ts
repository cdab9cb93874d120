/**
 * Files that are made. One is written beside the place where it is to be and takes its name only when it is whole: what
 * was there before is never damaged, and after a failure or a signal nothing is left.
 */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { errnoOf, naming } from "./file-error.ts";
import type { FileIdentity, InputFile } from "./input.ts";
import type { Work } from "./progress.ts";

/** Where bytes go, one after another. */
export interface Sink {
  write(piece: Uint8Array): void;
}

/** Where an output goes: a file that is replaced as a whole, or something that can only be written to. */
export type Target =
  | {
      readonly kind: "file";
      readonly what: string;
      readonly path: string;
      readonly before: Stats | undefined;
    }
  | { readonly kind: "stream"; readonly what: string; readonly path: string | undefined };

/**
 * Looks at what an output names: `-` is standard output; links are followed; a device or a pipe is written to.
 * Throws UserError for a directory, and for one of the inputs.
 */
export function targetOf(what: string, path: string, inputs: readonly FileIdentity[]): Target {
  if (path === "-") return { kind: "stream", what: "standard output", path: undefined };
  const before = naming(what, () => statSync(path, { throwIfNoEntry: false }));
  if (before?.isDirectory()) throw new UserError(what, "it is a directory", "name a file in it");
  if (before !== undefined && isOneOf(statSync(path, { bigint: true }), inputs)) {
    throw new UserError(what, "it is one of the files that are read", "name another file");
  }
  if (before !== undefined && !before.isFile()) return { kind: "stream", what, path };
  return { kind: "file", what, path: before === undefined ? path : realpathSync(path), before };
}

function isOneOf(one: FileIdentity, others: readonly FileIdentity[]): boolean {
  return others.some(({ dev, ino }) => dev === one.dev && ino === one.ino);
}

/** The same, for the replacement of an input by what is made of it. */
export function replacing(file: InputFile): Target {
  const path = naming(file.what, () => realpathSync(file.path));
  return { kind: "file", what: file.what, path, before: naming(file.what, () => statSync(path)) };
}

/** A file that has no name yet but a temporary one. Disposing of it takes it away, unless it has been kept. */
export class NewFile implements Sink, Disposable {
  readonly #fd: number;
  readonly #temporary: string;
  #open = true;
  #kept = false;

  /** @param before what is to be replaced: its owner and mode are taken over. Throws UserError. */
  constructor(
    readonly what: string,
    readonly path: string,
    work: Work,
    private readonly before?: Stats,
  ) {
    work.takeBack();
    const unique = crypto.getRandomValues(new Uint8Array(6)).toHex();
    this.#temporary = join(dirname(path), `.${basename(path).slice(0, 200)}.${unique}.part`);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const directory = dirname(path);
    if (!existsSync(directory))
      throw new UserError(what, `there is no directory ${directory}`, `mkdir -p ${directory}`);
    this.#fd = naming(what, () => openSync(this.#temporary, flags, 0o666));
    try {
      if (before !== undefined) this.#like(before);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #like(before: Stats): void {
    try {
      fchownSync(this.#fd, before.uid, before.gid);
    } catch {
      // Only root can give a file away; to others it stays theirs, as with every tool that writes anew.
    }
    naming(this.what, () => fchmodSync(this.#fd, before.mode & 0o777));
  }

  write(piece: Uint8Array): void {
    writeWhole(this.what, this.#fd, piece, null);
  }

  writeAt(piece: Uint8Array, offset: number): void {
    writeWhole(this.what, this.#fd, piece, offset);
  }

  /** Gives it its name; what had that name before is gone. It is on the disk first, so that a crash loses neither. */
  keep(): void {
    naming(this.what, () => {
      if (this.before !== undefined) fsyncSync(this.#fd);
      this.#close();
      renameSync(this.#temporary, this.path);
    });
    this.#kept = true;
  }

  /** Gives it its name, if there is nothing of that name. Throws UserError where there is. */
  keepAsNew(): void {
    this.#close();
    try {
      linkSync(this.#temporary, this.path);
    } catch (error) {
      if (errnoOf(error) !== ERRNO.EEXIST) naming(this.what, () => renamedAsNew(this.#temporary, this.path));
      else throw new UserError(this.what, "it is there already", "--force replaces what is there");
    }
  }

  /** Takes away what keep or keepAsNew has named. */
  remove(): void {
    unlinkSync(this.path);
  }

  #close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.#close();
    if (this.#kept) return;
    try {
      unlinkSync(this.#temporary);
    } catch {
      // It has been renamed, or somebody took it away: either way it is not there.
    }
  }
}

/** Where a file system has no hard links: the check and the renaming are two steps there. */
function renamedAsNew(from: string, to: string): void {
  closeSync(openSync(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o666));
  renameSync(from, to);
}

/** A pipe, a device, or standard output: bytes go out at once. */
export function openStream(target: Target & { readonly kind: "stream" }, stdout: number): Sink & Disposable {
  const { what, path } = target;
  const fd = path === undefined ? stdout : naming(what, () => openSync(path, constants.O_WRONLY));
  return {
    write: (piece) => writeWhole(what, fd, piece, null),
    [Symbol.dispose]() {
      if (path !== undefined) closeSync(fd);
    },
  };
}

function writeWhole(what: string, fd: number, piece: Uint8Array, offset: number | null): void {
  naming(what, () => {
    for (let done = 0; done < piece.length; ) {
      const at = offset === null ? null : offset + done;
      done += writeSync(fd, piece, done, piece.length - done, at);
    }
  });
}
