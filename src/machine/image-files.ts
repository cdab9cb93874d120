/**
 * The image of a launch: files that are opened, sized and recognised before the host is asked for anything, and read
 * straight into the enclave's memory afterwards. The image is never held a second time.
 */
import { eifCrc } from "../image/crc.ts";
import { type Architecture, eifHeader } from "../image/eif-layout.ts";
import { type EifPlan, planEif } from "../image/eif-plan.ts";
import { checkCrc, EifError, hex32, type ImageBytes, isEif, readEif } from "../image/eif-reader.ts";
import { bootableFormat, KERNEL_HEAD_BYTES, kernelFormat } from "../image/kernel-format.ts";
import { Failure, SyscallError } from "../sys/failure.ts";
import { type Fd, openFile, readAt, readBytesAt, sizeOf } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_NONBLOCK, O_RDONLY } from "../sys/linux/fcntl.ts";
import type { Mapping } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import type { LaunchOptions } from "./options.ts";

/** This program's architecture, which is the parent's. */
export const ARCHITECTURE: Architecture = process.arch === "arm64" ? "aarch64" : "x86_64";

/** A signal is looked for after each piece of this size. */
const LOAD_BYTES = 64 * 1024 * 1024;

/** What the image needs from the launch that loads it. */
interface Surroundings {
  readonly system: System;
  readonly tell: (line: string) => void;
  /** Called between pieces of long work; throws when the launcher is asked to stop. */
  readonly between: () => void;
}

/** An image that is known to be loadable. */
export interface Image extends Disposable {
  /** Bytes of the whole EIF. */
  readonly size: number;
  /** Writes the EIF into the mapping from `offset` on. Throws Failure when a file has changed since it was opened. */
  load(memory: Mapping, offset: number): void;
}

/** Opens what -kernel and -initrd name; an EIF is checked to its last byte. Throws Failure and SyscallError. */
export function openImage(around: Surroundings, options: LaunchOptions): Image {
  using stack = new DisposableStack();
  const kernel = stack.use(openRegular(around, "-kernel", options.kernel));
  const { head } = kernel;
  if (isEif(head)) {
    refuseBesideEif(options);
    const image = checkedEif(around, kernel);
    stack.move();
    return image;
  }
  checkKernel(around, kernel, head);
  const initrd =
    options.initrd === undefined ? undefined : stack.use(openRegular(around, "-initrd", options.initrd));
  const image = assembled(kernel, initrd, options.commandLine ?? "");
  stack.move();
  return image;
}

/** A file of the user's, open for reading, with the size that it had then. */
class InputFile implements Disposable, ImageBytes {
  constructor(
    private readonly around: Surroundings,
    readonly option: string,
    readonly path: string,
    private readonly fd: Fd,
  ) {
    // Read before it is sized: a folder opens and may have a size, but says EISDIR here, and a pipe ESPIPE.
    const bytes = new Uint8Array(KERNEL_HEAD_BYTES);
    this.head = bytes.subarray(0, this.read(bytes, 0));
    this.size = this.#named(() => sizeOf(around.system, fd, path));
  }

  /** The first bytes, as they were when the file was opened. */
  readonly head: Uint8Array;
  /** Bytes, as they were when the file was opened. */
  readonly size: number;

  get what(): string {
    return `${this.option} ${this.path}`;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#named(() => readBytesAt(this.around.system, this.fd, this.path, into, offset));
  }

  /** Reads the whole file into memory at `offset`, feeding the CRC. Throws Failure where it has become shorter. */
  load(memory: Mapping, offset: number, add: (bytes: Uint8Array) => void): void {
    const { system, between } = this.around;
    for (let at = 0; at < this.size; at += LOAD_BYTES) {
      const length = Math.min(LOAD_BYTES, this.size - at);
      const to = memory.start + offset + at;
      const got = this.#named(() => readAt(system, this.fd, this.path, to, length, at));
      if (got < length) throw this.changed(`it has ${at + got} bytes now, it had ${this.size}`);
      add(memory.view(offset + at, length));
      between();
    }
  }

  changed(how: string): Failure {
    return new Failure(
      this.what,
      `the file changed while it was being read: ${how}`,
      "launch again when it is whole",
    );
  }

  #named<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw error instanceof SyscallError ? explainFile(error, this.what) : error;
    }
  }

  [Symbol.dispose](): void {
    this.fd.close();
  }
}

function openRegular(around: Surroundings, option: string, path: string): InputFile {
  const what = `${option} ${path}`;
  using stack = new DisposableStack();
  try {
    // O_NONBLOCK: a FIFO must not hold the launch up; for a file it means nothing.
    const fd = stack.use(openFile(around.system, path, O_RDONLY | O_NONBLOCK));
    const file = new InputFile(around, option, path, fd);
    if (file.size === 0) {
      const why =
        file.head.length === 0 ? "the file is empty" : "it has no size, so it is no file but a device";
      throw new Failure(what, why, `look at it: ls -l ${path}`);
    }
    stack.move();
    return file;
  } catch (error) {
    throw error instanceof SyscallError ? explainFile(error, what) : error;
  }
}

function explainFile(error: SyscallError, what: string): Failure {
  switch (error.errno) {
    case ERRNO.ESPIPE:
      return new Failure(
        what,
        "not a regular file; its size must be known before it is read",
        "save it to a file first",
      );
    case ERRNO.EISDIR:
      return new Failure(what, error.why, "name a file in it");
    case ERRNO.ENOENT:
      return new Failure(what, error.why, "check the path; a relative one starts at the working directory");
    case ERRNO.EACCES:
      return new Failure(what, error.why, "check the permissions of the file and of the folders above it");
    default:
      return new Failure(what, error.why);
  }
}

function refuseBesideEif(options: LaunchOptions): void {
  const beside =
    options.initrd !== undefined ? "-initrd" : options.commandLine !== undefined ? "-append" : undefined;
  if (beside === undefined) return;
  throw new Failure(
    beside,
    `-kernel ${options.kernel} is an EIF, which has its own ramdisks and command line`,
    `leave out ${beside}, or give the plain kernel with -kernel`,
  );
}

function checkedEif(around: Surroundings, file: InputFile): Image {
  try {
    const eif = readEif(file);
    if (eif.architecture !== ARCHITECTURE) {
      throw new EifError(`it is an image for ${eif.architecture}, this machine is ${ARCHITECTURE}`);
    }
    checkCrc(file, eif.crc, around.between);
    return {
      size: file.size,
      load(memory, offset) {
        const crc = eifCrc();
        file.load(memory, offset, (bytes) => crc.add(bytes));
        if (crc.value() !== eif.crc)
          throw file.changed(`its CRC-32 is ${hex32(crc.value())}, it was ${hex32(eif.crc)}`);
      },
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    throw new Failure(
      file.what,
      `not an EIF that could start: ${error.message}`,
      "build the image again, or copy it again and compare the checksums",
    );
  }
}

function checkKernel(around: Surroundings, file: InputFile, head: Uint8Array): void {
  const format = kernelFormat(head);
  if (format.boots === ARCHITECTURE) return;
  around.tell(
    `warning: ${file.what} is ${format.name}; an enclave on ${ARCHITECTURE} starts ${bootableFormat(ARCHITECTURE)}, ` +
      "with anything else it hangs and prints nothing",
  );
}

function assembled(kernel: InputFile, initrd: InputFile | undefined, commandLine: string): Image {
  const plan = planEif({
    architecture: ARCHITECTURE,
    kernelSize: kernel.size,
    initrdSize: initrd?.size ?? 0,
    commandLine,
  });
  return {
    size: plan.size,
    load: (memory, offset) => loadPlan(plan, { kernel, initrd }, memory, offset),
    [Symbol.dispose]() {
      kernel[Symbol.dispose]();
      initrd?.[Symbol.dispose]();
    },
  };
}

function loadPlan(
  plan: EifPlan,
  files: { readonly kernel: InputFile; readonly initrd: InputFile | undefined },
  memory: Mapping,
  offset: number,
): void {
  const crc = eifCrc();
  for (const piece of plan.pieces) {
    if ("bytes" in piece) {
      const place = memory.view(offset + piece.offset, piece.bytes.length);
      place.set(piece.bytes);
      crc.add(place);
    } else files[piece.file]?.load(memory, offset + piece.offset, (bytes) => crc.add(bytes));
  }
  const field = memory.view(offset + eifHeader.offsets.eif_crc32, 4);
  new DataView(field.buffer, field.byteOffset, 4).setUint32(0, crc.value());
}
