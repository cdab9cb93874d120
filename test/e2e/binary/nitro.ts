/** Runs the built program. Nothing of src is imported: what is delivered is what is tested. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DIST = join(import.meta.dir, "../../../dist");

/** A built program's path. Throws, naming what to type, where it has not been built. */
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

/** Where and how it is run; without `env` in an environment with a PATH and nothing else. */
export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Only what hangs takes so long, on a busy machine and in an emulator too. */
const LONGEST_MS = 50_000;

/** Runs a command to its end. A status of null tells that it did not end in time. */
export function runCommand(command: readonly string[], around: Surroundings = {}): Ended {
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command], {
    cwd: around.cwd ?? tmpdir(),
    env: around.env ?? { PATH: process.env["PATH"] ?? "" },
    stdin: "ignore",
    timeout: LONGEST_MS,
    killSignal: "SIGKILL",
  });
  return { out: stdout.toString(), err: stderr.toString(), status: exitCode };
}

/** Runs dist/nitro with these arguments. */
export function nitro(args: readonly string[], around: Surroundings = {}): Ended {
  return runCommand([built("nitro"), ...args], around);
}

/** The first line of what it said. */
export function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

/** A directory of a test file's own, gone with it. */
export class Directory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nitro-binary-"));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Whether this machine has the device: what these tests see without one would be a launch with one. */
export const hasDevice = existsSync("/dev/nitro_enclaves");

/** The beginning of the message when only the device is missing; the reason depends on the machine. */
export const NO_DEVICE = "nitro: /dev/nitro_enclaves: No such file or directory (ENOENT): ";
