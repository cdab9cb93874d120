/** `-serial file:PATH`: creates or truncates the file as QEMU does, or appends to it with append=on. */
import { writeSome } from "../sys/files.ts";
import { O_APPEND, O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY } from "../sys/linux/fcntl.ts";
import { openOutput } from "../sys/output-files.ts";
import type { System } from "../sys/system.ts";
import type { Chardev } from "./chardev.ts";

/**
 * Opens the file. With O_NONBLOCK, open(2) fails with ENXIO on a FIFO without a reader instead of blocking.
 * Throws SyscallError, UserError.
 */
export function fileChardev(system: System, label: string, path: string, append: boolean): Chardev {
  const flags = O_WRONLY | O_CREAT | O_NONBLOCK | (append ? O_APPEND : O_TRUNC);
  const file = openOutput(system, path, flags, 0o666);
  let attached = false;
  return {
    label,
    type: "chardev-file",
    name: path,
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
