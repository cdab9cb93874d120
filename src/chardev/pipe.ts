/** `-serial pipe:PATH`: reads the FIFO PATH.in and writes the FIFO PATH.out, or uses the one FIFO PATH for both. */

import { SyscallError } from "../sys/errors.ts";
import { type Fd, openFile, writeSome } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_NONBLOCK, O_RDWR } from "../sys/linux/fcntl.ts";
import type { System } from "../sys/system.ts";
import { CLIENT_WRITE_TIMEOUT_MS } from "./byte-output.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";

/** Opens existing FIFOs. O_RDWR keeps open(2) from waiting for the other end: fifo(7). Throws SyscallError. */
export function pipeChardev(system: System, label: string, path: string): Chardev {
  using stack = new DisposableStack();
  const [input, output] = openFifos(system, path, stack);
  const owned = stack.move();
  let frontend: Frontend | undefined;
  const reader = fdReader(system, {
    fd: input.number,
    get frontend() {
      return frontend;
    },
    onEnd() {},
  });
  return {
    label,
    type: "chardev-pipe",
    name: path,
    fd: output.number,
    writeTimeoutMs: CLIENT_WRITE_TIMEOUT_MS,
    connected: true,
    get attached() {
      return frontend !== undefined;
    },
    filename: () => "pipe",
    write: (buffer, start, end) => writeSome(system, output.number, buffer.address + start, end - start),
    addWaiters: (list) => list.push(reader),
    attach(to) {
      frontend = to;
      to.opened();
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function openFifos(system: System, path: string, stack: DisposableStack): readonly [Fd, Fd] {
  const open = (name: string) => stack.use(openFile(system, name, O_RDWR | O_NONBLOCK));
  try {
    return [open(`${path}.in`), open(`${path}.out`)];
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== ERRNO.ENOENT) throw error;
  }
  const both = open(path);
  return [both, both];
}
