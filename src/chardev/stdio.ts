/**
 * `-serial stdio`: the launcher's standard output, whatever the shell made of it. It belongs to others too, so
 * O_NONBLOCK is never set on it; a way to write without waiting is found by its kind:
 *
 * - a file: it never makes wait;
 * - a pipe or a terminal: opened anew through /proc, with O_NONBLOCK on a description of its own;
 * - a socket (as under systemd): send(2) takes MSG_DONTWAIT;
 * - else (a pipe or a terminal of another user's): PIPE_BUF bytes at a time, poll being asked before each of them.
 *
 * Standard input is read, and the terminal touched, only where somebody listens: see keyboard.ts.
 */

import { SyscallError } from "../sys/errors.ts";
import { type Fd, isSeekable, openFile, writeSome } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_NONBLOCK, O_WRONLY } from "../sys/linux/fcntl.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import { isWritable, type Waiter } from "../sys/poll.ts";
import { sendSome } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, Frontend } from "./chardev.ts";

const STDOUT = 1;
/** limits.h: a pipe that polls as writable has room for this much. */
const PIPE_BUF = 4096;

type Write = (block: PinnedBuffer, start: number, end: number) => number;

/** Reads standard input for a frontend. */
export interface Keyboard extends Disposable {
  addWaiters(list: Waiter[]): void;
  /** The process was stopped and goes on. */
  processContinued(): void;
}

/**
 * Standard output and, by `listen`, standard input. Both stay open when it is disposed of.
 * @param listen begins to read standard input for the frontend; without it, input is never touched.
 */
export function stdioChardev(
  system: System,
  label: string,
  listen?: (frontend: Frontend) => Keyboard,
): Chardev {
  const isFile = isSeekable(system, STDOUT);
  const own = isFile ? undefined : reopened(system);
  const fd = own?.number ?? STDOUT;
  const plain: Write = (block, start, end) => writeSome(system, fd, block.address + start, end - start);
  let write: Write = plain;
  if (own === undefined && !isFile) {
    write = (block, start, end) => {
      const sent = sendSome(system, STDOUT, block.address + start, end - start);
      if (sent !== -ERRNO.ENOTSOCK) return sent;
      write = (from, first, last) =>
        isWritable(system, STDOUT) ? plain(from, first, Math.min(last, first + PIPE_BUF)) : -ERRNO.EAGAIN;
      return -ERRNO.EAGAIN;
    };
  }
  let keyboard: Keyboard | undefined;
  let attached = false;
  return {
    label,
    type: "chardev-stdio",
    name: "standard output",
    fd,
    writeTimeoutMs: Number.POSITIVE_INFINITY,
    connected: true,
    get attached() {
      return attached;
    },
    filename: () => "stdio",
    write: (block, start, end) => write(block, start, end),
    addWaiters: (list) => keyboard?.addWaiters(list),
    processContinued: () => keyboard?.processContinued(),
    attach(frontend) {
      attached = true;
      keyboard = listen?.(frontend);
      frontend.opened();
    },
    [Symbol.dispose]() {
      keyboard?.[Symbol.dispose]();
      own?.close();
    },
  };
}

function reopened(system: System): Fd | undefined {
  try {
    return openFile(system, `/proc/self/fd/${STDOUT}`, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}
