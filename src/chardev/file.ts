/** `-serial file:PATH`: the file is made or emptied when it is opened, as QEMU does, or added to with append=on. */
import { writeSome } from "../sys/files.ts";
import { O_APPEND, O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY } from "../sys/linux/fcntl.ts";
import { openOutput } from "../sys/output-files.ts";
import type { System } from "../sys/system.ts";
import type { Chardev } from "./chardev.ts";

/** Opens the file; a FIFO without a reader is ENXIO rather than a wait. Throws SyscallError, UserError. */
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
    write: (block, start, end) => writeSome(system, file.number, block.address + start, end - start),
    addWaiters() {},
    attach(frontend) {
      attached = true;
      frontend.opened();
    },
    [Symbol.dispose]: () => file.close(),
  };
}
