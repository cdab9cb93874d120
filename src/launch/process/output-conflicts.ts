/** Files that a launch writes must not be those that it reads: opening one for writing would empty it. */
import { UserError } from "../../sys/errors.ts";
import { fileStatus } from "../../sys/file-status.ts";
import type { System } from "../../sys/system.ts";
import type { LaunchOptions } from "../options.ts";

/**
 * Throws UserError when -serial, -chardev, -D or -pidfile names the image, or two of them name one file.
 * Looks before it opens.
 */
export function checkOutputs(system: System, options: LaunchOptions): void {
  const outputs: [option: string, path: string | undefined, whole?: true][] = [
    ...options.chardevs.flatMap(({ typed, backend, log }): [string, string | undefined, true][] => [
      [typed, backend.kind === "file" ? backend.path : undefined, true],
      [typed, log?.path, true],
    ]),
    ["-D", options.traceFile],
    ["-pidfile", options.pidFile],
  ];
  const used = new Map<string, string>();
  const inputs: [option: string, path: string | undefined][] = [
    ["-kernel", options.kernel],
    ["-initrd", options.initrd],
    ...options.ramdisks.map(({ value }): [string, string] => ["-M ramdisk", value]),
    ...options.configFiles.map((path): [string, string] => ["-readconfig", path]),
  ];
  if (outputs.every(([, path]) => path === undefined)) return;
  for (const [option, path] of inputs) {
    const file = path === undefined ? undefined : fileKey(system, path);
    if (file !== undefined) used.set(file, `${option} ${path}`);
  }
  for (const [option, path, whole] of outputs) {
    if (path === undefined) continue;
    const file = fileKey(system, path);
    if (file === undefined) continue;
    const other = used.get(file);
    const what = whole ? option : `${option} ${path}`;
    if (other !== undefined) {
      throw new UserError(
        what,
        `that is the file of ${other}, which would be overwritten`,
        "name another file",
      );
    }
    used.set(file, what);
  }
}

/** Identity of an output: device and inode, or directory and name for a new file; undefined if never truncated. */
function fileKey(system: System, path: string): string | undefined {
  const file = fileStatus(system, path);
  if (file !== undefined && !file.isRegular) return undefined;
  if (file !== undefined) return file.identity;
  const name = path.lastIndexOf("/") + 1;
  return `${fileStatus(system, path.slice(0, name) || ".")?.identity}/${path.slice(name)}`;
}
