/** Files that the launch writes, and what its process is to become: looked up, not made. */
import { directoryProblem } from "../host/process/directory.ts";
import { lockProblem } from "../host/process/locks.ts";
import type { LaunchOptions } from "../launch/options.ts";
import { prepareProcess } from "../launch/process/drop-privileges.ts";
import { checkOutputs } from "../launch/process/output-conflicts.ts";
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failed, found, refused } from "./finding.ts";

/** Looks at all of it. */
export async function checkFiles(system: System, options: LaunchOptions): Promise<Finding[]> {
  const { pidFile, traceFile, chardevs } = options;
  const named = [
    pidFile?.value,
    traceFile?.value,
    ...chardevs.flatMap(({ backend, log }) => [
      backend.kind === "file" ? backend.path : undefined,
      log?.path,
    ]),
  ].filter((path) => path !== undefined);
  const findings: Finding[] = named.flatMap((path) => {
    const problem = directoryProblem(system, path);
    return problem === undefined ? [] : [failed("files", problem)];
  });
  const held = pidFile === undefined ? undefined : lockProblem(system, pidFile.value);
  if (held !== undefined) findings.push(failed("files", { ...held, why: `${pidFile?.typed}: ${held.why}` }));
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
    if (!(error instanceof UserError)) throw error;
    return [refused("process", error)];
  }
}
