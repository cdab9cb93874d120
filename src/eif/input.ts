/** Files of the user's that are read: images and their parts through a buffer, keys and the like as a whole. */
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { UserError } from "../sys/errors.ts";
import { naming } from "./file-error.ts";
import type { ImageBytes } from "./format/reader.ts";
import type { Work } from "./progress.ts";

/** What tells a file from every other one. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** A regular file, open, with the size that it had then. */
export class InputFile implements ImageBytes, Disposable {
  readonly size: number;
  readonly identity: FileIdentity;
  readonly #fd: number;

  /** @param what how messages name it: `-kernel vmlinuz`. Throws UserError for what is no regular file. */
  constructor(
    readonly what: string,
    readonly path: string,
  ) {
    // O_NONBLOCK: a FIFO must not hold the command up; for a file it means nothing.
    this.#fd = naming(what, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    const about = naming(what, () => fstatSync(this.#fd, { bigint: true }));
    this.size = Number(about.size);
    this.identity = about;
    if (about.isFile()) return;
    this[Symbol.dispose]();
    throw about.isDirectory()
      ? new UserError(what, "it is a directory", "name a file in it")
      : new UserError(
          what,
          "not a regular file: its size must be known before it is read",
          "save it to a file first",
        );
  }

  /** Fills `into` from `offset` on; less only where the file ends. Throws UserError. */
  read(into: Uint8Array, offset: number): number {
    return naming(this.what, () => {
      let done = 0;
      while (done < into.length) {
        const got = readSync(this.#fd, into, done, into.length - done, offset + done);
        if (got === 0) break;
        done += got;
      }
      return done;
    });
  }

  /** Hands a run of its bytes to `use` piece by piece; each piece is good until the next. Throws UserError. */
  each(offset: number, size: number, work: Work, use: (piece: Uint8Array) => void): void {
    for (let at = 0; at < size; ) {
      const piece = work.buffer.subarray(0, Math.min(work.buffer.length, size - at));
      const got = this.read(piece, offset + at);
      if (got < piece.length)
        throw this.changed(`it has ${offset + at + got} bytes now, it had ${this.size}`);
      use(piece);
      at += got;
      work.step(got);
    }
  }

  /** The failure of a file that is not what it was a moment ago. */
  changed(how: string): UserError {
    return new UserError(
      this.what,
      `the file changed while it was being read: ${how}`,
      "try again when it is whole",
    );
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** What tells these files from others, of those that are there. */
export function identitiesOf(paths: readonly (string | undefined)[]): FileIdentity[] {
  const found = paths.map((path) =>
    path === undefined ? undefined : statSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  return found.filter((about) => about !== undefined);
}

/** A small file as a whole, a pipe as well. @param most bytes that it may have. Throws UserError. */
export function readSmall(what: string, path: string, most: number): Uint8Array {
  const fd = naming(what, () => openSync(path, constants.O_RDONLY));
  try {
    const bytes = new Uint8Array(most + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length <= most; length += got) {
      got = naming(what, () => readSync(fd, bytes, length, bytes.length - length, null));
    }
    if (length > most) throw new UserError(what, `it has more than the ${most} bytes that are allowed`);
    return bytes.slice(0, length);
  } finally {
    closeSync(fd);
  }
}
