/** Files that the launch writes, and what its process is to become: looked up, not made. */
import { folderFault } from "../host/folder.ts";
import { lockFault } from "../host/locks.ts";
import type { LaunchOptions } from "../machine/options.ts";
import { checkOutputs } from "../machine/outputs.ts";
import { prepareProcess } from "../machine/settle.ts";
import { Failure } from "../sys/failure.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failed, found, refused } from "./finding.ts";

/** Looks at all of it. */
export async function checkFiles(system: System, options: LaunchOptions): Promise<Finding[]> {
  const { pidFile, traceFile, chardevs } = options;
  const named = [
    pidFile,
    traceFile,
    ...chardevs.flatMap(({ backend, log }) => [
      backend.kind === "file" ? backend.path : undefined,
      log?.path,
    ]),
  ].filter((path) => path !== undefined);
  const findings: Finding[] = named.flatMap((path) => {
    const fault = folderFault(system, path);
    return fault === undefined ? [] : [failed("files", fault)];
  });
  const held = pidFile === undefined ? undefined : lockFault(system, pidFile);
  if (held !== undefined)
    findings.push(failed("files", { ...held, why: `-pidfile ${pidFile}: ${held.why}` }));
  const same = attempt("files", () => checkOutputs(system, options));
  if ("refusal" in same) findings.push(same.refusal);
  if (findings.length === 0 && named.length > 0)
    findings.push(found("files", "ok", `${named.join(", ")} can be made`));
  return [...findings, ...(await checkProcess(system, options))];
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
