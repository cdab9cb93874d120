/**
 * Files for processes of other users. A checkout below a private directory, such as /root, cannot be entered by them, so
 * the file is linked or copied into a public temporary directory, which is removed when this process exits.
 */
import { chmodSync, copyFileSync, existsSync, linkSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

let directory: string | undefined;

function publicDirectory(): string {
  if (directory === undefined) {
    const created = mkdtempSync(join(tmpdir(), "nitro-accessible-"));
    chmodSync(created, 0o755);
    process.on("exit", () => rmSync(created, { recursive: true, force: true }));
    directory = created;
  }
  return directory;
}

/** Whether every user may enter all directories of a path. */
function isPublic(path: string): boolean {
  for (let parent = dirname(path); parent !== "/"; parent = dirname(parent)) {
    if ((statSync(parent).mode & 0o001) === 0) return false;
  }
  return true;
}

/** Returns a path of the same file that every user can open. */
export function accessibleFile(path: string): string {
  if (isPublic(path)) return path;
  const copy = join(publicDirectory(), basename(path));
  if (existsSync(copy)) return copy;
  try {
    linkSync(path, copy);
  } catch {
    copyFileSync(path, copy); // another file system
  }
  return copy;
}

/**
 * Returns a path of a script that every user can run; if the checkout is private, the script has its imports bundled.
 */
export function accessibleScript(path: string): string {
  if (isPublic(path)) return path;
  const bundle = join(publicDirectory(), basename(path));
  if (existsSync(bundle)) return bundle;
  const command = [process.execPath, "build", "--target=bun", path, "--outfile", bundle];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return bundle;
}
