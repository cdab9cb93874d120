/** `-serial file:PATH`: writes to a file, which QEMU creates or truncates, or with append=on extends. */
import { type Fd, writeSome } from "../sys/files.ts";
import type { System } from "../sys/system.ts";
import type { Chardev } from "./chardev.ts";

/** Returns a device that writes to a file, which it owns from then on. @param path as the user typed it. */
export function fileChardev(system: System, label: string, path: string, file: Fd): Chardev {
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
