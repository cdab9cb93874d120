/** Runs the executable. Nothing of src is imported: the tests check what is delivered. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DIST = join(import.meta.dir, "../../../dist");

/** Returns the path of an executable. Throws with the command to type if it has not been built. */
export function built(name: "nitro" | "nitro-aarch64"): string {
  const path = join(DIST, name);
  if (!existsSync(path)) throw new Error(`${path} is missing; run: npm run build`);
  return path;
}

export interface Ended {
  readonly out: string;
  readonly err: string;
  readonly status: number | null;
}

/** Working directory and environment; without `env` the environment has a PATH only. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Only a hanging program takes this long, even on a busy machine or in an emulator. */
const TIME_LIMIT_MS = 50_000;

/** Runs a command to its end. A status of null means that it did not end in time. */
export function runCommand(command: readonly string[], options: RunOptions = {}): Ended {
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command], {
    cwd: options.cwd ?? tmpdir(),
    env: options.env ?? { PATH: process.env["PATH"] ?? "" },
    stdin: "ignore",
    timeout: TIME_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  return { out: stdout.toString(), err: stderr.toString(), status: exitCode };
}

/** Runs dist/nitro with these arguments. */
export function nitro(args: readonly string[], options: RunOptions = {}): Ended {
  return runCommand([built("nitro"), ...args], options);
}

/** Returns the first line of an output. */
export function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

/** A directory for one test file; disposal removes it. */
export class Directory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nitro-binary-"));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Whether this machine has the device, with which these tests would launch enclaves. */
export const hasDevice = existsSync("/dev/nitro_enclaves");

/** The beginning of the message when only the device is missing; the reason depends on the machine. */
export const NO_DEVICE = "nitro: /dev/nitro_enclaves: No such file or directory (ENOENT): ";
