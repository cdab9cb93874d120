/**
 * Reads allocator.yaml, the configuration of AWS's nitro-enclaves-allocator: memory_mib, and cpu_count or cpu_pool, or
 * a list of these, one per enclave. The allocator reads a file without a list line by line, with cut(1) and sed(1)
 * (parse_config in aws-nitro-enclaves-cli, bootstrap/nitro-enclaves-allocator), so files that are in use need not be
 * YAML. The file may come from another user: its size, keys and values are all checked.
 */
import * as z from "zod/mini";
import { parseCpuList } from "../../host/cpu/cpu-list.ts";
import type { PoolRequest } from "../../pool/plan.ts";
import { UserError } from "../../sys/errors.ts";
import { MIB } from "../../sys/units.ts";

/** The allocator's own path. */
export const ALLOCATOR_FILE = "/etc/nitro_enclaves/allocator.yaml";

const MAX_CHARACTERS = 64 * 1024;
const MAX_ENTRIES = 64;

const scalar = z.union([z.number(), z.string()]);

const entrySchema = z.strictObject({
  memory_mib: z.optional(scalar),
  cpu_count: z.optional(scalar),
  cpu_pool: z.optional(scalar),
});

/** Throws the UserError of a faulty file. */
type Refuse = (why: string, hint?: string) => never;

/** Parses the file's text. Throws UserError. @param typed how messages name it: `--config FILE`. */
export function allocatorRequest(text: string, typed: string): Omit<PoolRequest, "node"> {
  const refuse: Refuse = (why, hint = "it must contain memory_mib, and either cpu_count or cpu_pool") => {
    throw new UserError(typed, why, hint);
  };
  const list: number[] = [];
  const bytes: number[] = [];
  let more = 0;
  const values = parseEntries(text, refuse);
  values.forEach((value, i) => {
    const prefix = values.length > 1 ? `entry ${i + 1}: ` : "";
    const entry = parseEntry(value, (why, hint) => refuse(`${prefix}${why}`, hint));
    const repeated = entry.cpus.find((cpu) => list.includes(cpu));
    if (repeated !== undefined) refuse(`${prefix}cpu_pool repeats CPU ${repeated} of an earlier entry`);
    list.push(...entry.cpus);
    bytes.push(entry.memoryBytes);
    more += entry.more;
  });
  return { cpus: { list, more, typed }, memory: { bytes, typed } };
}

/** Returns the entries of a list, or the one entry of a file without a list. */
function parseEntries(text: string, refuse: Refuse): unknown[] {
  if (text.length > MAX_CHARACTERS) refuse(`it has more than ${MAX_CHARACTERS} characters`);
  const single = parseLines(text);
  if (single !== undefined) return [single];
  if ((text.match(/^---(\s|$)/gm)?.length ?? 0) > 1)
    refuse("it contains several documents", "use one document, with a list for several enclaves");
  const parsed = parseYaml(text, refuse);
  const entries: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
  if (entries.length === 0) refuse("the list is empty");
  if (entries.length > MAX_ENTRIES) refuse(`it has more than ${MAX_ENTRIES} entries`);
  return entries;
}

/** A key and a plain value, which may be in quotes; other values (lists, maps, references) are left to YAML. */
const PAIR = /^([\w-]+)[ \t]*:(.*)$/;
const PLAIN = /^(["']?)([\w.,;/ \t-]*)\1$/;

/**
 * Reads the keys and values of a file without a list, as the allocator does: it skips everything before the first line
 * `---`, indentation does not matter, and the last of repeated keys counts. Returns undefined if a line is neither a
 * pair nor a comment.
 */
function parseLines(text: string): Record<string, string> | undefined {
  const lines = text.split("\n").map((line) => line.replace("\uFEFF", "").trim());
  const pairs: [string, string][] = [];
  for (const line of lines.slice(lines.indexOf("---") + 1)) {
    if (line === "" || line === "---" || line.startsWith("#")) continue;
    const comment = line.search(/[ \t]#/);
    const [, key, rest = ""] = PAIR.exec(comment < 0 ? line : line.slice(0, comment)) ?? [];
    const value = PLAIN.exec(rest.trim())?.[2];
    if (key === undefined || value === undefined) return undefined;
    pairs.push([key, value]);
  }
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

function parseYaml(text: string, refuse: Refuse): unknown {
  try {
    return Bun.YAML.parse(text);
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error), "it must be valid YAML");
  }
}

interface Entry {
  readonly memoryBytes: number;
  /** The CPUs of cpu_pool. */
  readonly cpus: readonly number[];
  /** The number of CPUs of cpu_count. */
  readonly more: number;
}

function parseEntry(value: unknown, refuse: Refuse): Entry {
  const { memory_mib, cpu_count, cpu_pool } = checkKeys(value, refuse);
  if (memory_mib === undefined) refuse("memory_mib is missing");
  if (cpu_count === undefined && cpu_pool === undefined) refuse("cpu_count is missing");
  if (cpu_count !== undefined && cpu_pool !== undefined) refuse("cpu_count conflicts with cpu_pool");
  const mib = wholeNumber(memory_mib, 2 ** 30);
  const memoryBytes =
    mib === undefined ? refuse(`memory_mib must be a number of MiB, not ${shown(memory_mib)}`) : mib * MIB;
  if (cpu_count !== undefined) {
    const more = wholeNumber(cpu_count, 65_536);
    if (more === undefined) return refuse(`cpu_count must be a number of CPUs, not ${shown(cpu_count)}`);
    return { memoryBytes, cpus: [], more };
  }
  // The driver's parameter takes spaces for commas (bitmap_parselist in lib/bitmap-str.c).
  const cpus =
    parseCpuList(
      String(cpu_pool)
        .trim()
        .replaceAll(/[\s,]+/g, ","),
    ) ?? [];
  if (cpus.length === 0)
    refuse(
      `cpu_pool must be a list of CPUs, not ${shown(cpu_pool)}`,
      "list whole cores (cat /sys/devices/system/cpu/cpu*/topology/thread_siblings_list), or use cpu_count: 2",
    );
  return { memoryBytes, cpus, more: 0 };
}

function checkKeys(value: unknown, refuse: Refuse): z.output<typeof entrySchema> {
  const result = entrySchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") return refuse(`unknown key ${shown(issue.keys[0])}`);
  const [key] = issue?.path ?? [];
  if (key === undefined) return refuse("it must have keys and values");
  return refuse(`expected one value for ${shown(key)}`);
}

/** Returns a whole number from 1 to the maximum; undefined for anything else. */
function wholeNumber(value: unknown, max: number): number | undefined {
  const text = String(value).trim();
  const number = /^\d{1,12}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= max ? number : undefined;
}

function shown(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 60));
}
