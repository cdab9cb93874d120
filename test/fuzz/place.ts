/** The directory of a fuzz case, and its possible outcomes. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The outcome of a command: output, or an error with its cause. Any other outcome is thrown. */
export type Answer =
  | { readonly kind: "answered"; readonly out: string; readonly status: number }
  | { readonly kind: "refused"; readonly message: string };

/** Runs nitro with these arguments. Throws if the outcome is not an Answer. */
export type Run = (args: readonly string[], place: Place) => Promise<Answer>;

/** The directory of one runner, in memory if /dev/shm exists. */
export class Place implements Disposable {
  readonly directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "nitro-fuzz-"));

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, bytes: Uint8Array): string {
    writeFileSync(this.path(name), bytes);
    return this.path(name);
  }

  read(name: string): Buffer | undefined {
    return existsSync(this.path(name)) ? readFileSync(this.path(name)) : undefined;
  }

  /** Removes the files of the previous case. */
  clear(): void {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
