/** A directory that a file is to be made in. */
import { fileStatus } from "../../sys/file-status.ts";
import type { System } from "../../sys/system.ts";
import { type Problem, shellQuote } from "../problem.ts";

/** Why no file of this path can be made; undefined where nothing is seen to be in the way. */
export function directoryProblem(system: System, path: string): Problem | undefined {
  const directory = path.slice(0, path.lastIndexOf("/") + 1) || ".";
  const status = fileStatus(system, directory);
  if (status === undefined)
    return { why: `there is no directory ${directory}`, command: `mkdir -p ${shellQuote(directory)}` };
  if (!status.isDirectory) return { why: `${directory} is no directory`, advice: "name another file" };
  if (fileStatus(system, path)?.isDirectory) return { why: `${path} is a directory`, advice: "name a file" };
  return undefined;
}
