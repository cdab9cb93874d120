/**
 * `-serial pty`: a new pseudoterminal, whose path is reported. nitro holds the other end open as well: Linux does not
 * signal the opening of a terminal, so nitro would otherwise have to poll for it as QEMU does. Output is therefore kept
 * in the terminal's buffer until a process opens it.
 */

import { writeSome } from "../sys/files.ts";
import { cString } from "../sys/libc.ts";
import { fileRemover } from "../sys/output-files.ts";
import { checked, type System } from "../sys/system.ts";
import { openPty } from "../sys/terminal.ts";
import { CLIENT_WRITE_TIMEOUT_MS } from "./byte-output.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";

/** Opens a pseudoterminal. @param link a symbolic link to create to it, removed on disposal. Throws SyscallError. */
export function ptyChardev(system: System, label: string, link: string | undefined): Chardev {
  using stack = new DisposableStack();
  const { master, other, path } = openPty(system);
  stack.use(master);
  stack.use(other);
  if (link !== undefined) {
    createLink(system, path, link);
    stack.defer(fileRemover(system, link));
  }
  let frontend: Frontend | undefined;
  const reader = fdReader(system, {
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
    writeTimeoutMs: CLIENT_WRITE_TIMEOUT_MS,
    connected: true,
    get attached() {
      return frontend !== undefined;
    },
    filename: () => `pty:${path}`,
    write: (buffer, start, end) => writeSome(system, master.number, buffer.address + start, end - start),
    addWaiters: (list) => list.push(reader),
    attach(to) {
      frontend = to;
      to.opened();
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function createLink(system: System, path: string, link: string): void {
  const [target, linkPath] = [cString(path), cString(link)];
  checked(system, "symlink", system.libc.symlink(target, linkPath), {
    args: () => `${path}, ${link}`,
    subject: link,
  });
}
