/** A file of the user's that goes into the image: opened and sized first, read straight into memory later. */
import type { ImageBytes } from "../../eif/format/reader.ts";
import { KERNEL_HEAD_BYTES } from "../../eif/kernel/format.ts";
import { SyscallError, UserError } from "../../sys/errors.ts";
import { type Fd, fileSize, openFile, readAt, readBytesAt } from "../../sys/files.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { O_NONBLOCK, O_RDONLY } from "../../sys/linux/fcntl.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { type FileRead, type ReadThreads, readChunks } from "../../sys/threads/read.ts";
import type { Progress } from "../progress.ts";

/** What the image needs from the launch that loads it. */
export interface Surroundings {
  readonly system: System;
  readonly report: (line: string) => void;
  /** Called between pieces of long work. */
  readonly progress: Progress;
}

/** Bytes of known length that can be put into the image. */
export interface Payload {
  readonly size: number;
  /**
   * Writes all of it into memory from `offset` on, and hands it to `add` piece by piece. Throws UserError.
   * @param threads that are at what `reading` gave for the same place; undefined where none are.
   */
  load(
    memory: Mapping,
    offset: number,
    add: (bytes: Uint8Array) => void,
    threads: ReadThreads | undefined,
  ): void;
  /** What threads need to write it to where `load` will; of files only. */
  reading?(memory: Mapping, offset: number): FileRead;
}

/** A file of the user's, open for reading, with the size that it had then. */
export class InputFile implements Disposable, ImageBytes, Payload {
  constructor(
    private readonly around: Surroundings,
    /** The file in the user's words: `-kernel bzImage`. */
    readonly what: string,
    readonly path: string,
    private readonly fd: Fd,
  ) {
    // Read before it is sized: a directory opens and may have a size, but says EISDIR here, and a pipe ESPIPE.
    const bytes = new Uint8Array(KERNEL_HEAD_BYTES);
    this.head = bytes.subarray(0, this.read(bytes, 0));
    this.size = this.#named(() => fileSize(around.system, fd, path));
  }

  /** The first bytes, as they were when the file was opened. */
  readonly head: Uint8Array;
  /** Bytes, as they were when the file was opened. */
  readonly size: number;

  /** The last part of its path. */
  get name(): string {
    return this.path.slice(this.path.lastIndexOf("/") + 1);
  }

  read(into: Uint8Array, offset: number): number {
    return this.#named(() => readBytesAt(this.around.system, this.fd, this.path, into, offset));
  }

  reading(memory: Mapping, offset: number): FileRead {
    const { fd, path, size } = this;
    return { fd, path, size, to: memory.start + offset };
  }

  /** Reads the whole file into memory at `offset`, feeding the CRC. Throws UserError where it has become shorter. */
  load(
    memory: Mapping,
    offset: number,
    add: (bytes: Uint8Array) => void,
    threads: ReadThreads | undefined,
  ): void {
    const { system, progress } = this.around;
    const { fd, path } = this;
    const file = this.reading(memory, offset);
    const part = (at: number, length: number, begun: number) => {
      const rest = length - begun;
      const done =
        begun + (rest === 0 ? 0 : readAt(system, fd, path, file.to + at + begun, rest, at + begun));
      if (done < length) throw this.changed(`it has ${at + done} bytes now, it had ${this.size}`);
      add(memory.view(offset + at, length));
      progress.advance(length);
    };
    this.#named(() => {
      if (threads !== undefined) return threads.finish(file, part);
      for (const { at, length } of readChunks(file)) part(at, length, 0);
    });
    const size = this.#named(() => fileSize(system, this.fd, this.path));
    if (size !== this.size) throw this.changed(`it has ${size} bytes now, it had ${this.size}`);
  }

  changed(how: string): UserError {
    return new UserError(
      this.what,
      `the file changed while it was being read: ${how}`,
      "launch again when it is whole",
    );
  }

  #named<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw error instanceof SyscallError ? diagnoseFile(error, this.what) : error;
    }
  }

  [Symbol.dispose](): void {
    this.fd.close();
  }
}

/** Opens a regular file that has something in it. @param what names it in messages. Throws UserError. */
export function openRegular(around: Surroundings, what: string, path: string): InputFile {
  using stack = new DisposableStack();
  try {
    // O_NONBLOCK: a FIFO must not hold the launch up; for a file it means nothing.
    const fd = stack.use(openFile(around.system, path, O_RDONLY | O_NONBLOCK));
    const file = new InputFile(around, what, path, fd);
    if (file.size === 0) {
      const why =
        file.head.length === 0 ? "the file is empty" : "it has no size, so it is no file but a device";
      throw new UserError(what, why, `look at it: ls -l ${path}`);
    }
    stack.move();
    return file;
  } catch (error) {
    throw error instanceof SyscallError ? diagnoseFile(error, what) : error;
  }
}

function diagnoseFile(error: SyscallError, what: string): UserError {
  switch (error.errno) {
    case ERRNO.ESPIPE:
      return new UserError(
        what,
        "not a regular file; its size must be known before it is read",
        "save it to a file first",
      );
    case ERRNO.EISDIR:
      return new UserError(what, error.why, "name a file in it");
    case ERRNO.ENOENT:
      return new UserError(what, error.why, "check the path; a relative one starts at the working directory");
    case ERRNO.EACCES:
      return new UserError(
        what,
        error.why,
        "check the permissions of the file and of the directories above it",
      );
    default:
      return new UserError(what, error.why);
  }
}
