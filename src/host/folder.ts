/** A folder that a file is to be made in. */
import { fileStatus } from "../sys/file-status.ts";
import type { System } from "../sys/system.ts";
import { type Fault, shellWord } from "./fault.ts";

/** Why no file of this path can be made; undefined where nothing is seen to be in the way. */
export function folderFault(system: System, path: string): Fault | undefined {
  const folder = path.slice(0, path.lastIndexOf("/") + 1) || ".";
  const status = fileStatus(system, folder);
  if (status === undefined)
    return { why: `there is no folder ${folder}`, command: `mkdir -p ${shellWord(folder)}` };
  if (!status.isFolder) return { why: `${folder} is no folder`, advice: "name another file" };
  if (fileStatus(system, path)?.isFolder) return { why: `${path} is a folder`, advice: "name a file" };
  return undefined;
}
