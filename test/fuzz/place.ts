/** Where a case happens, and what may come of it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a command came to: printed something, or refused with a cause. All else is a problem, and thrown. */
export type Answer =
  | { readonly kind: "answered"; readonly out: string; readonly status: number }
  | { readonly kind: "refused"; readonly message: string };

/** Runs nitro with these words. Throws what is neither an answer nor an error with its cause. */
export type Run = (words: readonly string[], place: Place) => Promise<Answer>;

/** A directory of one run's own, in memory where there is such a file system. */
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

  /** Takes away what the last case made. */
  clear(): void {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
