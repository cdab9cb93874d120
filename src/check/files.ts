/** Checks the files that the launch writes, and -run-with and -sandbox, without creating or changing anything. */
import { directoryProblem } from "../host/process/directory.ts";
import { lockProblem } from "../host/process/locks.ts";
import type { LaunchOptions } from "../launch/options.ts";
import { prepareProcess } from "../launch/process/drop-privileges.ts";
import { checkOutputs } from "../launch/process/output-conflicts.ts";
import { publishedCids } from "../launch/published-status.ts";
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failure, failureFromError, finding } from "./finding.ts";

/** Runs the checks. */
export async function checkFiles(system: System, options: LaunchOptions): Promise<Finding[]> {
  const paths = outputPaths(options);
  const failures = fileFailures(system, options, paths);
  const written =
    failures.length === 0 && paths.length > 0
      ? [finding("files", "ok", `${paths.join(", ")} can be written`)]
      : failures;
  return [...written, ...(await checkProcess(system, options))];
}

function outputPaths({ pidFile, traceFile, chardevs }: LaunchOptions): string[] {
  const ofChardevs = chardevs.flatMap(({ backend, log }) => [
    backend.kind === "file" ? backend.path : undefined,
    log?.path,
  ]);
  return [pidFile?.value, traceFile?.value, ...ofChardevs].filter((path) => path !== undefined);
}

function fileFailures(system: System, options: LaunchOptions, paths: readonly string[]): Finding[] {
  const { pidFile } = options;
  const failures = paths.flatMap((path) => {
    const problem = directoryProblem(system, path);
    return problem === undefined ? [] : [failure("files", problem)];
  });
  const locked =
    pidFile === undefined ? undefined : lockProblem(system, pidFile.value, publishedCids(system));
  if (locked !== undefined)
    failures.push(failure("files", { ...locked, why: `${pidFile?.typed}: ${locked.why}` }));
  const conflicts = attempt("files", () => checkOutputs(system, options));
  if ("failure" in conflicts) failures.push(conflicts.failure);
  return failures;
}

async function checkProcess(system: System, { process }: LaunchOptions): Promise<Finding[]> {
  if (process === undefined) return [];
  try {
    using _prepared = await prepareProcess(system, { ...process, processName: undefined }, undefined);
    return [finding("process", "ok", "everything that -run-with and -sandbox name exists")];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [failureFromError("process", error)];
  }
}
