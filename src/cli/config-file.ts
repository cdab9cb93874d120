/**
 * -readconfig: QEMU's configuration files (docs/config). `[group]` or `[group "id"]`, then `key = "value"`, a line
 * each; `#` begins a comment. A group is an option by another name, at the place where the file is read.
 */
import { UserError } from "../sys/errors.ts";
import { type Occurrence, scanArguments } from "./argv.ts";

/** Groups and the options that they are; those of QEMU's that an enclave cannot have are refused as options are. */
const GROUPS: Readonly<Record<string, string>> = {
  accel: "accel",
  chardev: "chardev",
  memory: "m",
  mon: "mon",
  msg: "msg",
  machine: "machine",
  name: "name",
  object: "object",
  "run-with": "run-with",
  sandbox: "sandbox",
  "smp-opts": "smp",
  device: "device",
  drive: "drive",
  netdev: "netdev",
  net: "net",
  rtc: "rtc",
  "boot-opts": "boot",
  global: "global",
  fsdev: "fsdev",
};

/** Groups that stand for one thing of a kind each, and so have an id. */
const WITH_ID: ReadonlySet<string> = new Set(["chardev", "mon", "object", "device", "drive", "netdev"]);

interface Group {
  readonly option: string;
  readonly line: number;
  readonly pairs: string[];
}

/** The options that a file's text stands for. @param typed the option that named it, for messages. Throws UserError. */
export function readConfig(text: string, path: string, typed: string): Occurrence[] {
  if (text.includes("\ufffd"))
    throw new UserError(typed, `${path} is not UTF-8`, `iconv -t UTF-8 ${path} > NEW`);
  const groups: Group[] = [];
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    const at = `${path}:${index + 1}`;
    if (line === "" || line.startsWith("#")) return;
    const head = /^\[([\w-]+)(?:\s+"([^"]*)")?\]$/.exec(line);
    if (head !== null) {
      groups.push(openGroup(typed, at, index + 1, head[1] ?? "", head[2]));
      return;
    }
    const pair = /^([\w.-]+)\s*=\s*"([^"]*)"$/.exec(line);
    if (pair === null)
      throw new UserError(at, "parse error", 'a line is [group], [group "id"] or key = "value"');
    const group = groups.at(-1);
    if (group === undefined) throw new UserError(typed, "no group defined", `${at} comes before any [group]`);
    group.pairs.push(`${pair[1]}=${(pair[2] ?? "").replaceAll(",", ",,")}`);
  });
  return groups.flatMap(({ option, line, pairs }) => occurrence(`${path}:${line}`, option, pairs));
}

function openGroup(typed: string, at: string, line: number, name: string, id: string | undefined): Group {
  const option = GROUPS[name];
  if (option === undefined) {
    throw new UserError(
      typed,
      `There is no option group '${name}'`,
      `${at}; nitro has ${known().join(", ")}`,
    );
  }
  if (id !== undefined && !WITH_ID.has(name)) throw new UserError(typed, "Invalid parameter 'id'", at);
  return { option, line, pairs: id === undefined ? [] : [`id=${id.replaceAll(",", ",,")}`] };
}

function known(): string[] {
  return [
    "machine",
    "accel",
    "memory",
    "smp-opts",
    "object",
    "chardev",
    "mon",
    "name",
    "msg",
    "run-with",
    "sandbox",
  ];
}

/** A group as an option; scanArguments knows whether there is one of that name, and why not. */
function occurrence(at: string, option: string, pairs: readonly string[]): Occurrence[] {
  if (pairs.length === 0) return [];
  const value = pairs.join(",");
  try {
    return scanArguments([`-${option}`, value]).map((found) => ({ ...found, typed: `${at}: ${value}` }));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${at}: ${error.what}`, error.why, error.hint);
  }
}
