/**
 * -readconfig: QEMU's configuration files (docs/config). `[group]` or `[group "id"]`, then `key = "value"`, a line
 * each; `#` begins a comment. A group stands for an option at the place where the file is read.
 */
import { UserError } from "../sys/errors.ts";
import { type Pair, pairText } from "./keyval.ts";
import type { Option } from "./options/option.ts";
import type { ParsedOption } from "./options/parsed-options.ts";
import { refusalOf } from "./options/refused.ts";
import { LAUNCH_OPTIONS } from "./options/table.ts";

interface Group {
  readonly option: Option;
  /** File and line of the group's header. */
  readonly at: string;
  readonly pairs: Pair[];
}

/** Returns the options that a file's text stands for. @param typed the option that names it. Throws UserError. */
export function readConfig(text: string, path: string, typed: string): ParsedOption[] {
  if (text.includes("\ufffd"))
    throw new UserError(typed, `${path} is not UTF-8`, `iconv -t UTF-8 ${path} > NEW`);
  const groups: Group[] = [];
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    const at = `${path}:${index + 1}`;
    if (line === "" || line.startsWith("#")) return;
    const [, name, id] = /^\[([\w-]+)(?:\s+"([^"]*)")?\]$/.exec(line) ?? [];
    const [, key, value] = /^([\w.-]+)\s*=\s*"([^"]*)"$/.exec(line) ?? [];
    if (name !== undefined) {
      const option = groupOption(name, id, at, typed);
      groups.push({ option, at, pairs: id === undefined ? [] : [["id", id]] });
    } else if (key === undefined || value === undefined) {
      throw new UserError(at, "parse error", 'a line is [group], [group "id"] or key = "value"');
    } else {
      const group = groups.at(-1);
      if (group === undefined)
        throw new UserError(typed, "no group defined", `${at} comes before any [group]`);
      group.pairs.push([key, value]);
    }
  });
  return groups.filter(({ pairs }) => pairs.length > 0).map(parsedGroup);
}

function groupOption(name: string, id: string | undefined, at: string, typed: string): Option {
  const option = LAUNCH_OPTIONS.find(({ group }) => group?.name === name);
  if (option === undefined) {
    const refused = name.replace(/-opts$/, "");
    const refusal = refusalOf(refused);
    if (refusal !== undefined) throw new UserError(`${at}: -${refused}`, refusal.why, refusal.hint);
    const groups = LAUNCH_OPTIONS.flatMap(({ group }) => group?.name ?? []);
    const hint = `${at}; the groups are ${groups.join(", ")}`;
    throw new UserError(typed, `There is no option group '${name}'`, hint);
  }
  if (id !== undefined && !option.group?.hasId) throw new UserError(typed, "Invalid parameter 'id'", at);
  return option;
}

function parsedGroup({ option, at, pairs }: Group): ParsedOption {
  const argument = pairs.map(([key, value]) => pairText(key, value)).join(",");
  return { name: option.name, dashed: `${at}:`, argument, value: "", pairs };
}
