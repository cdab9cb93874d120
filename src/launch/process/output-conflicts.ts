/** Output files must not be input files of the launch, because opening them for writing would truncate them. */
import { UserError } from "../../sys/errors.ts";
import { fileStatus } from "../../sys/file-status.ts";
import type { System } from "../../sys/system.ts";
import type { LaunchOptions, Typed } from "../options.ts";

/**
 * Throws UserError if -serial, -chardev, -D or -pidfile names a file of the image, or if two of them name the same
 * file. Files are not opened.
 */
export function checkOutputs(system: System, options: LaunchOptions): void {
  const { kernel, initrd, ramdisks, configFiles, chardevs, traceFile, pidFile } = options;
  const outputs: (Typed<string | undefined> | undefined)[] = [
    ...chardevs.flatMap(({ typed, backend, log }) => [
      { typed, value: backend.kind === "file" ? backend.path : undefined },
      { typed, value: log?.path },
    ]),
    traceFile,
    pidFile,
  ];
  if (outputs.every((output) => output?.value === undefined)) return;
  const used = new Map<string, string>();
  for (const input of [kernel, initrd, ...ramdisks, ...configFiles]) {
    const file = input === undefined ? undefined : fileKey(system, input.value);
    if (input !== undefined && file !== undefined) used.set(file, input.typed);
  }
  for (const { typed, value } of outputs.flatMap((output) => output ?? [])) {
    const file = value === undefined ? undefined : fileKey(system, value);
    if (file === undefined) continue;
    const other = used.get(file);
    if (other !== undefined) {
      throw new UserError(
        typed,
        `this is also the file of ${other} and would overwrite it`,
        "use a different file",
      );
    }
    used.set(file, typed);
  }
}

/** Identifies a file by device and inode, or a new one by directory and name; undefined if it is not regular. */
function fileKey(system: System, path: string): string | undefined {
  const file = fileStatus(system, path);
  if (file !== undefined && !file.isRegular) return undefined;
  if (file !== undefined) return file.identity;
  const name = path.lastIndexOf("/") + 1;
  return `${fileStatus(system, path.slice(0, name) || ".")?.identity}/${path.slice(name)}`;
}
