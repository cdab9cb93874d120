/**
 * Where the console of a plain launch goes: standard output, a file, nowhere. Other character devices, muxes and
 * monitors are in frontends.ts, which a plain launch does not load.
 */
import type { ByteOutput } from "../chardev/byte-output.ts";
import type { Chardev, ChardevSpec } from "../chardev/chardev.ts";
import { fileChardev } from "../chardev/file.ts";
import { nullChardev } from "../chardev/null.ts";
import { stdioChardev } from "../chardev/stdio.ts";
import { SyscallError, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { ReopenableFiles } from "../sys/reopenable-files.ts";
import type { System } from "../sys/system.ts";
import type { LaunchContext } from "./context.ts";

/** Opens the console's output; undefined for `-serial none`. Throws UserError. */
export function openConsole({ system, options, logs }: LaunchContext): ByteOutput | undefined {
  const spec = options.chardevs.find(({ label }) => label === options.serial.value);
  if (spec === undefined) return undefined;
  try {
    return openChardev(system, spec, logs);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const hint =
      error.errno === ERRNO.ENXIO ? "no process reads this FIFO: start its reader first" : undefined;
    throw new UserError(spec.typed, error.why, hint);
  }
}

function openChardev(system: System, { label, backend }: ChardevSpec, logs: ReopenableFiles): Chardev {
  if (backend.kind === "file") {
    const { path, append } = backend;
    return fileChardev(system, label, path, logs.open(path, append));
  }
  return backend.kind === "null" ? nullChardev(label) : stdioChardev(system, label);
}
