/** Socket options that are numbers (socket(7)). */
import type { Fd } from "../files.ts";
import { SO_ERROR, SO_TYPE, SOL_SOCKET } from "../linux/socket.ts";
import { resultOrErrno, type System } from "../system.ts";

const OPTIONS = { SO_TYPE, SO_ERROR } as const;

/** getsockopt(2) at level SOL_SOCKET: returns the value, which is not negative, or the negative errno. */
export function socketOption(system: System, socket: Fd, name: keyof typeof OPTIONS): number {
  const value = new Uint8Array(4);
  const length = Uint8Array.of(value.length, 0, 0, 0);
  const number = system.libc.getsockopt(socket.number, SOL_SOCKET, OPTIONS[name], value, length);
  const read = () => new DataView(value.buffer).getInt32(0, true);
  const args = () => `${socket.number}, SOL_SOCKET, ${name}, [${read()}], [4]`;
  const result = resultOrErrno(system, "getsockopt", number, args);
  return result < 0 ? result : read();
}
