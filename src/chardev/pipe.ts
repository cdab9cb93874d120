/** `-serial pipe:PATH`: two FIFOs, PATH.in to read from and PATH.out to write to, or the one FIFO PATH for both. */
import { SyscallError } from "../sys/errors.ts";
import { type Fd, openFile, writeSome } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_NONBLOCK, O_RDWR } from "../sys/linux/fcntl.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";

/** Opens the FIFOs, which exist; opened for both directions, neither waits for its other end. Throws SyscallError. */
export function pipeChardev(system: System, label: string, path: string): Chardev {
  using stack = new DisposableStack();
  const [input, output] = opened(system, path, stack);
  const owned = stack.move();
  let frontend: Frontend | undefined;
  const reading = fdReader(system, {
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
    writeTimeoutMs: 1000,
    connected: true,
    get attached() {
      return frontend !== undefined;
    },
    filename: () => "pipe",
    write: (block, start, end) => writeSome(system, output.number, block.address + start, end - start),
    addWaiters: (list) => list.push(reading),
    attach(to) {
      frontend = to;
      to.opened();
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function opened(system: System, path: string, stack: DisposableStack): readonly [Fd, Fd] {
  const open = (name: string) => stack.use(openFile(system, name, O_RDWR | O_NONBLOCK));
  try {
    return [open(`${path}.in`), open(`${path}.out`)];
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errno !== ERRNO.ENOENT) throw error;
  }
  const both = openFile(system, path, O_RDWR | O_NONBLOCK);
  stack.defer(() => both.close());
  return [both, both];
}
