/**
 * Where the enclave's console goes when that is all that was asked for: standard output, a file, nowhere. Everything
 * else (other devices, monitors, a mux) is session.ts, which such a launch does not load.
 */

import type { ByteOutput } from "../chardev/byte-output.ts";
import type { Chardev, ChardevSpec } from "../chardev/chardev.ts";
import { fileChardev } from "../chardev/file.ts";
import { nullChardev } from "../chardev/null.ts";
import { stdioChardev } from "../chardev/stdio.ts";
import { SyscallError, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { System } from "../sys/system.ts";
import type { LaunchOptions } from "./options.ts";

/** Opens the receiver; undefined for `none`, where the console is not even connected. Throws UserError. */
export function openConsole(system: System, { chardevs, serial }: LaunchOptions): ByteOutput | undefined {
  const spec = chardevs.find(({ label }) => label === serial.value);
  if (spec === undefined) return undefined;
  try {
    return opened(system, spec);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const hint = error.errno === ERRNO.ENXIO ? "nobody reads this FIFO: start its reader first" : undefined;
    throw new UserError(spec.typed, error.why, hint);
  }
}

function opened(system: System, { label, backend }: ChardevSpec): Chardev {
  if (backend.kind === "file") return fileChardev(system, label, backend.path, backend.append);
  return backend.kind === "null" ? nullChardev(label) : stdioChardev(system, label);
}
