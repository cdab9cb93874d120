/**
 * Output files. A file is written under a temporary name in its directory and renamed once it is complete: what was
 * there before is never damaged, and after a failure or a signal nothing is left.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { wasClosed } from "../sys/descriptor-flags.ts";
import { UserError } from "../sys/errors.ts";
import { type FileStatus, fileStatus } from "../sys/file-status.ts";
import { STDOUT } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { shellQuote } from "../sys/shell-quote.ts";
import type { System } from "../sys/system.ts";
import { errnoOf, withFileErrors } from "./file-error.ts";
import type { InputFile } from "./input-file.ts";
import type { EifProgress } from "./progress.ts";

/** Bytes are written to it one after another. */
export interface Sink {
  write(chunk: Uint8Array): void;
}

/** A regular file that is created or replaced as a whole. */
export interface FileTarget {
  readonly kind: "file";
  /** How messages name it: `-o app.eif`. */
  readonly what: string;
  readonly path: string;
  /** The file to be replaced, whose owner and mode the new one gets. */
  readonly previous: FileStatus | undefined;
}

/** Standard output, a pipe or a device, which can only be written from start to end. */
export interface StreamTarget {
  readonly kind: "stream";
  readonly what: string;
  /** undefined for standard output. */
  readonly path: string | undefined;
}

/** Where an output goes. */
export type OutputTarget = FileTarget | StreamTarget;

/**
 * Determines what an output path names: `-` is standard output, links are followed.
 * @param inputs identities of the input files. Throws UserError for a directory and for an input file.
 */
export function outputTarget(
  system: System,
  what: string,
  path: string,
  inputs: readonly (string | undefined)[],
): OutputTarget {
  if (path === "-") {
    if (wasClosed(system, STDOUT)) throw new UserError("-o -", "standard output is closed", "-o app.eif");
    return { kind: "stream", what: "standard output", path: undefined };
  }
  const previous = fileStatus(system, path);
  if (previous === undefined) return { kind: "file", what, path, previous };
  if (previous.isDirectory) throw new UserError(what, "it is a directory", "name a file in it");
  if (inputs.includes(previous.identity)) {
    throw new UserError(what, "it is one of the input files", "name another file");
  }
  if (!previous.isRegular) return { kind: "stream", what, path };
  return { kind: "file", what, path: withFileErrors(what, () => realpathSync(path)), previous };
}

/** Returns the target that replaces an input file with its new content. Throws UserError. */
export function replacementTarget(system: System, { what, path }: InputFile): FileTarget {
  const real = withFileErrors(what, () => realpathSync(path));
  return { kind: "file", what, path: real, previous: fileStatus(system, real) };
}

/** A file under a temporary name. Disposing of it removes it, unless it has been renamed. */
export class AtomicFile implements Sink, Disposable {
  readonly #target: Omit<FileTarget, "kind">;
  readonly #fd: number;
  readonly #temporary: string;
  #open = true;
  #renamed = false;

  /** Throws UserError. */
  constructor(target: Omit<FileTarget, "kind">, progress: EifProgress) {
    const { what, path, previous } = target;
    this.#target = target;
    progress.catchSignals();
    const unique = crypto.getRandomValues(new Uint8Array(6)).toHex();
    const directory = dirname(path);
    this.#temporary = join(directory, `.${basename(path).slice(0, 200)}.${unique}.part`);
    this.#fd = withFileErrors(what, () => createIn(directory, what, this.#temporary));
    try {
      if (previous !== undefined) this.#copyOwnerAndMode(previous);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get what(): string {
    return this.#target.what;
  }

  get path(): string {
    return this.#target.path;
  }

  #copyOwnerAndMode({ uid, gid, mode }: FileStatus): void {
    try {
      fchownSync(this.#fd, uid, gid);
    } catch {
      // Only root can change the owner; the new file of another user belongs to that user.
    }
    withFileErrors(this.what, () => fchmodSync(this.#fd, mode & 0o777));
  }

  write(chunk: Uint8Array): void {
    writeWhole(this.what, this.#fd, chunk, null);
  }

  writeAt(chunk: Uint8Array, offset: number): void {
    writeWhole(this.what, this.#fd, chunk, offset);
  }

  /** Gives the file its name, replacing the previous one. Synced before, so that a crash loses neither. */
  rename(): void {
    withFileErrors(this.what, () => {
      if (this.#target.previous !== undefined) fsyncSync(this.#fd);
      this.#close();
      renameSync(this.#temporary, this.path);
    });
    this.#renamed = true;
  }

  /** Gives the file its name unless a file of that name exists. Throws UserError. */
  renameIfNew(): void {
    this.#close();
    try {
      linkSync(this.#temporary, this.path);
    } catch (error) {
      if (errnoOf(error) === ERRNO.EEXIST) {
        throw new UserError(this.what, "the file exists", "use -force to replace it");
      }
      withFileErrors(this.what, () => renameWithoutLink(this.#temporary, this.path));
    }
  }

  /** Removes the file that renameIfNew has named. */
  remove(): void {
    unlinkSync(this.path);
  }

  #close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.#close();
    if (this.#renamed) return;
    try {
      unlinkSync(this.#temporary);
    } catch {
      // It has been renamed already, or another process has removed it.
    }
  }
}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

function createIn(directory: string, what: string, path: string): number {
  try {
    return openSync(path, CREATE, 0o666);
  } catch (error) {
    if (errnoOf(error) !== ERRNO.ENOENT) throw error;
    throw new UserError(what, `directory ${directory} does not exist`, `mkdir -p ${shellQuote(directory)}`);
  }
}

/** For file systems without hard links, where checking and renaming are two steps. */
function renameWithoutLink(from: string, to: string): void {
  closeSync(openSync(to, CREATE, 0o666));
  renameSync(from, to);
}

/** Opens a pipe, a device or standard output. Throws UserError. */
export function openOutputStream({ what, path }: StreamTarget, stdout: number): Sink & Disposable {
  const fd = path === undefined ? stdout : withFileErrors(what, () => openSync(path, constants.O_WRONLY));
  return {
    write: (chunk) => writeWhole(what, fd, chunk, null),
    [Symbol.dispose]() {
      if (path !== undefined) closeSync(fd);
    },
  };
}

function writeWhole(what: string, fd: number, chunk: Uint8Array, offset: number | null): void {
  withFileErrors(what, () => {
    for (let done = 0; done < chunk.length; ) {
      const at = offset === null ? null : offset + done;
      done += writeSync(fd, chunk, done, chunk.length - done, at);
    }
  });
}
