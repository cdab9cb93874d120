/**
 * Input files: images, kernels and ramdisks are opened and sized first and read later, through a buffer or straight
 * into the enclave's memory; keys and other small files are read as a whole.
 */
import { SyscallError, UserError } from "../sys/errors.ts";
import { fdStatus, fileStatus } from "../sys/file-status.ts";
import { type Fd, fileSize, openFile, readAt, readBytesAt, readSome } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_NONBLOCK, O_RDONLY } from "../sys/linux/fcntl.ts";
import type { Mapping } from "../sys/memory.ts";
import { shellQuote } from "../sys/shell-quote.ts";
import type { System } from "../sys/system.ts";
import { type FileRead, type ReadThreads, readChunks } from "../sys/threads/read.ts";
import { withFileErrors } from "./file-error.ts";
import type { ByteSource } from "./format/bytes.ts";
import { KERNEL_HEAD_BYTES } from "./kernel/format.ts";

const CHUNK_BYTES = 1024 * 1024;

/** Called after each chunk, with its size in bytes. Throws to cancel. */
export type Advance = (bytes: number) => void;

/** An open file, which can be read at any offset, with the size that it had when it was opened. */
export class InputFile implements ByteSource, Disposable {
  /** The first KERNEL_HEAD_BYTES bytes, or all of a smaller file, as they were when the file was opened. */
  readonly head: Uint8Array;
  /** In bytes, when the file was opened. */
  readonly size: number;

  /** @param what how messages name the file: `-kernel vmlinuz`. Throws UserError; takes over `fd` if it does not. */
  constructor(
    private readonly system: System,
    readonly what: string,
    readonly path: string,
    private readonly fd: Fd,
  ) {
    // Read before the size: a directory can be opened and may have a size, but read fails (EISDIR, for a pipe ESPIPE).
    const bytes = new Uint8Array(KERNEL_HEAD_BYTES);
    this.head = bytes.subarray(0, this.read(bytes, 0));
    this.size = this.#currentSize();
  }

  /** The last component of its path. */
  get name(): string {
    return this.path.slice(this.path.lastIndexOf("/") + 1);
  }

  /** Device and inode; undefined if the kernel does not report them. */
  get identity(): string | undefined {
    return fdStatus(this.system, this.fd)?.identity;
  }

  /** Throws UserError. */
  read(into: Uint8Array, offset: number): number {
    const { system, fd, path } = this;
    return withFileErrors(this.what, () => readBytesAt(system, { fd, path }, into, offset));
  }

  /** Passes a range to `use` in chunks, each valid until the next. Throws UserError if the file has become shorter. */
  forEachChunk(offset: number, size: number, advance: Advance, use: (chunk: Uint8Array) => void): void {
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, size));
    for (let done = 0; done < size; ) {
      const chunk = size - done < buffer.length ? buffer.subarray(0, size - done) : buffer;
      const got = this.read(chunk, offset + done);
      if (got < chunk.length) throw this.resized(offset + done + got);
      use(chunk);
      done += got;
      advance(got);
    }
  }

  /** What threads need to read the file to where `load` puts it. */
  fileRead(memory: Mapping, offset: number): FileRead {
    const { fd, path, size } = this;
    return { fd, path, size, to: memory.start + offset };
  }

  /**
   * Reads the whole file into memory at `offset`. Throws UserError if its size has changed.
   * @param use called for each chunk in file order, once it is in memory.
   * @param threads that already read what `fileRead` returned for this place; undefined for none.
   */
  load(
    memory: Mapping,
    offset: number,
    use: (chunk: Uint8Array) => void,
    threads: ReadThreads | undefined,
  ): void {
    const { system } = this;
    const read = this.fileRead(memory, offset);
    const finish = (at: number, length: number, got: number) => {
      const rest = length - got;
      const done =
        got +
        (rest === 0 ? 0 : readAt(system, read, { offset: at + got, length: rest, to: read.to + at + got }));
      if (done < length) throw this.resized(at + done);
      use(memory.view(offset + at, length));
    };
    withFileErrors(this.what, () => {
      if (threads !== undefined) return threads.finish(read, finish);
      for (const { at, length } of readChunks(read)) finish(at, length, 0);
    });
    const size = this.#currentSize();
    if (size !== this.size) throw this.resized(size);
  }

  /** The error of a file that another process changes while nitro reads it. */
  changed(how: string): UserError {
    return new UserError(
      this.what,
      `the file changed while it was being read: ${how}`,
      "run the command again once the file is complete",
    );
  }

  /** The same, for a file that has `bytes` bytes now. */
  resized(bytes: number): UserError {
    return this.changed(`its size is ${bytes} bytes now, it was ${this.size}`);
  }

  #currentSize(): number {
    return withFileErrors(this.what, () => fileSize(this.system, this.fd, this.path));
  }

  [Symbol.dispose](): void {
    this.fd.close();
  }
}

/** Opens a file that has a size and is not empty. @param what how messages name it. Throws UserError. */
export function openInput(system: System, what: string, path: string): InputFile {
  using stack = new DisposableStack();
  // O_NONBLOCK: opening a FIFO must not wait for a writer. It has no effect on regular files.
  const fd = stack.use(withFileErrors(what, () => openFile(system, path, O_RDONLY | O_NONBLOCK)));
  const file = new InputFile(system, what, path, fd);
  if (file.size === 0) {
    const isEmptyFile = fdStatus(system, fd)?.isRegular ?? file.head.length === 0;
    const why = isEmptyFile ? "the file is empty" : "not a regular file: it has no size";
    throw new UserError(what, why, `ls -l ${shellQuote(path)}`);
  }
  stack.move();
  return file;
}

/** Returns the identities of those of the files that exist. */
export function identitiesOf(system: System, paths: readonly (string | undefined)[]): string[] {
  const all = paths.map((path) => (path === undefined ? undefined : fileStatus(system, path)?.identity));
  return all.filter((identity) => identity !== undefined);
}

/** Reads a small file, or a pipe, as a whole. Throws UserError if it has more than `maxBytes`. */
export function readSmallInput(system: System, what: string, path: string, maxBytes: number): Uint8Array {
  return withFileErrors(what, () => {
    using fd = openFile(system, path, O_RDONLY);
    const bytes = new Uint8Array(maxBytes + 1);
    let length = 0;
    while (length <= maxBytes) {
      const got = readSome(system, fd.number, bytes.subarray(length));
      if (got === -ERRNO.EINTR) continue;
      if (got < 0) throw new SyscallError("read", -got, path);
      if (got === 0) break;
      length += got;
    }
    if (length > maxBytes) throw new UserError(what, `larger than ${maxBytes} bytes, the limit`);
    return bytes.slice(0, length);
  });
}
