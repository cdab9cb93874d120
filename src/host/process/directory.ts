/** Whether a file can be created at a path. */
import { fileStatus } from "../../sys/file-status.ts";
import { shellQuote } from "../../sys/shell-quote.ts";
import type { System } from "../../sys/system.ts";
import type { Problem } from "../problem.ts";

/** Returns why no file can be created at this path; undefined if no reason is found. */
export function directoryProblem(system: System, path: string): Problem | undefined {
  const directory = path.slice(0, path.lastIndexOf("/") + 1) || ".";
  const status = fileStatus(system, directory);
  if (status === undefined)
    return { why: `directory ${directory} does not exist`, command: `mkdir -p ${shellQuote(directory)}` };
  if (!status.isDirectory) return { why: `${directory} is not a directory`, advice: "choose another path" };
  if (fileStatus(system, path)?.isDirectory)
    return { why: `${path} is a directory`, advice: "choose the path of a file" };
  return undefined;
}
