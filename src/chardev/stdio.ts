/**
 * `-serial stdio`: the standard output that nitro inherited. O_NONBLOCK belongs to the open file description, which
 * other processes share (fcntl(2)), so nitro never sets it there. How it writes without blocking depends on the type:
 *
 * - a regular file: write(2) does not block;
 * - a pipe or terminal: nitro opens it again through /proc/self/fd, for an open file description of its own;
 * - a socket (as under systemd): send(2) with MSG_DONTWAIT;
 * - a pipe or terminal that cannot be opened again, such as another user's: at most PIPE_BUF bytes, after poll(2).
 *
 * Standard input is read, and the terminal changed, only if a frontend needs input: see stdin-reader.ts.
 */

import { SyscallError } from "../sys/errors.ts";
import { type Fd, isSeekable, openFile, STDOUT, writeSome } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_NONBLOCK, O_WRONLY } from "../sys/linux/fcntl.ts";
import { PIPE_BUF } from "../sys/linux/limits.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import { isWritable } from "../sys/poll.ts";
import { sendSome } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import type { StdinReader } from "./stdin-reader.ts";

type Write = (buffer: PinnedBuffer, start: number, end: number) => number;

/**
 * Returns a device on standard output. Disposal leaves standard input and output open.
 * @param openInput starts to read standard input for the frontend; without it, standard input is not touched.
 */
export function stdioChardev(
  system: System,
  label: string,
  openInput?: (frontend: Frontend) => StdinReader,
): Chardev {
  const isFile = isSeekable(system, STDOUT);
  const reopened = isFile ? undefined : reopenStdout(system);
  const fd = reopened?.number ?? STDOUT;
  const write = isFile || reopened !== undefined ? plainWrite(system, fd) : sharedWrite(system);
  let input: StdinReader | undefined;
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
    write,
    addWaiters: (list) => input?.addWaiters(list),
    processContinued: () => input?.processContinued(),
    attach(frontend) {
      attached = true;
      input = openInput?.(frontend);
      frontend.opened();
    },
    [Symbol.dispose]() {
      input?.[Symbol.dispose]();
      reopened?.close();
    },
  };
}

function plainWrite(system: System, fd: number): Write {
  return (buffer, start, end) => writeSome(system, fd, buffer.address + start, end - start);
}

/** Writes without blocking to a description that other processes share: a socket, or else poll(2) and PIPE_BUF. */
function sharedWrite(system: System): Write {
  const plain = plainWrite(system, STDOUT);
  let isSocket = true;
  return (buffer, start, end) => {
    if (isSocket) {
      const sent = sendSome(system, STDOUT, buffer.address + start, end - start);
      if (sent !== -ERRNO.ENOTSOCK) return sent;
      isSocket = false;
    }
    if (!isWritable(system, STDOUT)) return -ERRNO.EAGAIN;
    return plain(buffer, start, Math.min(end, start + PIPE_BUF));
  };
}

function reopenStdout(system: System): Fd | undefined {
  try {
    return openFile(system, `/proc/self/fd/${STDOUT}`, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}
