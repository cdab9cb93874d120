/** Files that the launch writes, and what its process is to become: looked up, not made. */
import { folderFault } from "../host/folder.ts";
import type { LaunchOptions } from "../machine/options.ts";
import { checkOutputs } from "../machine/outputs.ts";
import { prepareProcess } from "../machine/settle.ts";
import { Failure } from "../sys/failure.ts";
import { fileStatus } from "../sys/file-status.ts";
import { readLimited } from "../sys/files.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failed, found, refused } from "./finding.ts";

/** Looks at all of it. */
export async function checkFiles(system: System, options: LaunchOptions): Promise<Finding[]> {
  const { pidFile, traceFile, chardevs } = options;
  const outputs: [typed: string, path: string | undefined][] = [
    [`-pidfile ${pidFile}`, pidFile],
    [`-D ${traceFile}`, traceFile],
    ...chardevs.flatMap(({ typed, backend, log }): [string, string | undefined][] => [
      [typed, backend.kind === "file" ? backend.path : undefined],
      [typed, log?.path],
    ]),
  ];
  const findings: Finding[] = [];
  for (const [typed, path] of outputs) {
    const fault = path === undefined ? undefined : folderFault(system, path);
    if (fault !== undefined) findings.push(failed("files", { ...fault, why: `${typed}: ${fault.why}` }));
  }
  const held = pidFile === undefined ? undefined : lockHolder(system, pidFile);
  if (held !== undefined) {
    const why = `-pidfile ${pidFile}: another launcher that runs holds it (process ${held})`;
    findings.push(failed("files", { why, command: `kill ${held}`, advice: "or name another file" }));
  }
  const same = attempt("files", () => checkOutputs(system, options));
  if ("refusal" in same) findings.push(same.refusal);
  const named = outputs.flatMap(([, path]) => path ?? []);
  if (findings.length === 0 && named.length > 0)
    findings.push(found("files", "ok", `${named.join(", ")} can be made`));
  return [...findings, ...(await checkProcess(system, options))];
}

/** The process that has a lock of flock(2) on a file, by /proc/locks (proc(5)): no lock is tried. */
function lockHolder(system: System, path: string): number | undefined {
  const status = fileStatus(system, path);
  if (status === undefined) return undefined;
  const hex = (number: number) => number.toString(16).padStart(2, "0");
  const place = `${status.device.map(hex).join(":")}:${status.inode}`;
  const locks = readLimited(system, "/proc/locks", 256 * 1024) ?? "";
  for (const [, pid, where] of locks.matchAll(/^\d+: FLOCK +ADVISORY +WRITE (\d+) (\S+) /gm)) {
    if (where === place) return Number(pid);
  }
  return undefined;
}

async function checkProcess(system: System, { process }: LaunchOptions): Promise<Finding[]> {
  if (process === undefined) return [];
  try {
    using _prepared = await prepareProcess(system, { ...process, processName: undefined }, undefined);
    return [found("process", "ok", "what -run-with and -sandbox name is there")];
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [refused("process", error)];
  }
}
