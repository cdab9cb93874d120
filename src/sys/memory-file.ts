/** Small anonymous files of ordinary memory, shared by passing their descriptors. */
import { addStatusFlags } from "./descriptor-flags.ts";
import { Fd } from "./files.ts";
import { cString } from "./libc.ts";
import { O_APPEND } from "./linux/fcntl.ts";
import { MFD_CLOEXEC } from "./linux/memfd.ts";
import { checked, type System } from "./system.ts";
import { quoted } from "./trace.ts";

/** Creates an empty file. Its link in /proc/PID/fd is memoryFileLink(name). Throws SyscallError. */
export function createMemoryFile(system: System, name: string): Fd {
  const number = system.libc.memfd_create(cString(name), MFD_CLOEXEC);
  const args = () => `${quoted(name)}, MFD_CLOEXEC`;
  return new Fd(system, checked(system, "memfd_create", number, { args }));
}

/** Returns the link in /proc/PID/fd of a file of this name (memfd_create(2)). */
export function memoryFileLink(name: string): string {
  return `/memfd:${name} (deleted)`;
}

/** Creates an empty file to which every write(2) appends, in any process. Throws SyscallError. */
export function createAppendFile(system: System, name: string): Fd {
  const file = createMemoryFile(system, name);
  try {
    addStatusFlags(system, file.number, O_APPEND);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}
