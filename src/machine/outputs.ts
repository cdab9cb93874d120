/** Files that a launch writes must not be those that it reads: opening one for writing would empty it. */
import { Failure } from "../sys/failure.ts";
import { realPath } from "../sys/files.ts";
import type { System } from "../sys/system.ts";
import type { LaunchOptions } from "./options.ts";

/**
 * Throws Failure when -serial, -chardev, -D or -pidfile names the image, or two of them name one file.
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
  ];
  if (outputs.every(([, path]) => path === undefined)) return;
  for (const [option, path] of inputs) {
    const real = path === undefined ? undefined : realPath(system, path);
    if (real !== undefined) used.set(real, `${option} ${path}`);
  }
  for (const [option, path, whole] of outputs) {
    if (path === undefined) continue;
    const real = realPath(system, path) ?? path;
    const other = used.get(real);
    const what = whole ? option : `${option} ${path}`;
    if (other !== undefined && !real.startsWith("/dev/")) {
      throw new Failure(
        what,
        `that is the file of ${other}, which would be overwritten`,
        "name another file",
      );
    }
    used.set(real, what);
  }
}
