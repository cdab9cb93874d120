/**
 * `-serial pty`: a new pseudo terminal, whose path is told. Its other end is held open here as well: Linux tells nobody
 * when a terminal is opened, so without that it would have to be looked at again and again. What is written before
 * somebody opens it waits for them, as far as the terminal has room.
 */
import { writeSome } from "../sys/files.ts";
import { cString } from "../sys/libc.ts";
import { removerOf } from "../sys/output-files.ts";
import { checked, type System } from "../sys/system.ts";
import { openPty } from "../sys/terminal.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";

const PATIENCE_MS = 1000;

/** Makes the terminal. @param link a symbolic link to it, removed at the end. Throws SyscallError. */
export function ptyChardev(system: System, label: string, link: string | undefined): Chardev {
  using stack = new DisposableStack();
  const { master, other, path } = openPty(system);
  stack.use(master);
  stack.use(other);
  if (link !== undefined) {
    makeLink(system, path, link);
    stack.defer(removerOf(system, link));
  }
  let frontend: Frontend | undefined;
  const reading = fdReader(system, {
    fd: master.number,
    get frontend() {
      return frontend;
    },
    onEnd() {},
  });
  const owned = stack.move();
  return {
    label,
    type: "chardev-pty",
    name: path,
    fd: master.number,
    writeTimeoutMs: PATIENCE_MS,
    connected: true,
    get attached() {
      return frontend !== undefined;
    },
    filename: () => `pty:${path}`,
    write: (block, start, end) => writeSome(system, master.number, block.address + start, end - start),
    addWaiters: (list) => list.push(reading),
    attach(to) {
      frontend = to;
      to.opened();
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function makeLink(system: System, path: string, link: string): void {
  const [from, to] = [cString(path), cString(link)];
  checked(system, "symlink", system.libc.symlink(from, to), () => `${path}, ${link}`, link);
}
