/** `-serial file:PATH`: creates or truncates the file as QEMU does, or appends to it with append=on. */
import { type Fd, writeSome } from "../sys/files.ts";
import { logFlags, openOutput } from "../sys/output-files.ts";
import type { System } from "../sys/system.ts";
import type { Chardev } from "./chardev.ts";
import type { PassedDescriptors } from "./descriptors.ts";

/** A file that a device writes to. */
interface WrittenFile {
  readonly path: string;
  /** Whether to append instead of emptying it first. */
  readonly append: boolean;
}

/**
 * Opens a file that a device writes to, creating it if need be. Throws SyscallError, ENXIO for a FIFO without a reader;
 * UserError for another user's file.
 * @param passed the descriptors that /dev/fdset/ID names.
 */
export function openWritten(
  system: System,
  { path, append }: WrittenFile,
  passed: PassedDescriptors | undefined,
): Fd {
  const flags = logFlags(append);
  return passed?.openPath(path, flags) ?? openOutput(system, path, flags, 0o666);
}

/** Opens a file as a character device. Throws SyscallError, UserError. @param passed as of openWritten. */
export function fileChardev(
  system: System,
  label: string,
  written: WrittenFile,
  passed?: PassedDescriptors,
): Chardev {
  const file = openWritten(system, written, passed);
  let attached = false;
  return {
    label,
    type: "chardev-file",
    name: written.path,
    fd: file.number,
    writeTimeoutMs: Number.POSITIVE_INFINITY,
    connected: true,
    get attached() {
      return attached;
    },
    filename: () => "file",
    write: (buffer, start, end) => writeSome(system, file.number, buffer.address + start, end - start),
    addWaiters() {},
    attach(frontend) {
      attached = true;
      frontend.opened();
    },
    [Symbol.dispose]: () => file.close(),
  };
}
