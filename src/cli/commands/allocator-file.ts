/**
 * allocator.yaml, the file of Amazon's nitro-enclaves-allocator: memory_mib, and cpu_count or cpu_pool; or a list of
 * such, one for each enclave. Whoever runs the command may not be whoever wrote the file, so it is small, has these
 * keys and no others, and each value is looked at.
 */
import * as z from "zod/mini";
import { parseCpuList } from "../../host/cpu/cpu-list.ts";
import type { PoolRequest } from "../../pool/plan.ts";
import { UserError } from "../../sys/errors.ts";

/** Where that tool has it. */
export const ALLOCATOR_FILE = "/etc/nitro_enclaves/allocator.yaml";

const MOST_CHARACTERS = 64 * 1024;
const MAX_ENCLAVES = 64;
const MIB = 1024 * 1024;

const scalar = z.union([z.number(), z.string()]);

const entrySchema = z.strictObject({
  memory_mib: z.optional(scalar),
  cpu_count: z.optional(scalar),
  cpu_pool: z.optional(scalar),
});

/** Reads the file's text. @param typed how messages name it: `--config FILE`. Throws UserError. */
export function allocatorRequest(text: string, typed: string): Omit<PoolRequest, "node"> {
  const refuse = (why: string, hint?: string): never => {
    throw new UserError(typed, why, hint ?? "it has memory_mib and either cpu_count or cpu_pool");
  };
  if (text.length > MOST_CHARACTERS) refuse(`it has more than ${MOST_CHARACTERS} characters`);
  if ((text.match(/^---(\s|$)/gm)?.length ?? 0) > 1)
    refuse("it holds several documents", "put one into it, or a list");
  const entries = entriesOf(text, refuse);
  const list: number[] = [];
  let more = 0;
  const bytes: number[] = [];
  entries.forEach((entry, i) => {
    const which = entries.length > 1 ? `entry ${i + 1}: ` : "";
    const { memory_mib, cpu_count, cpu_pool } = checkedEntry(entry, which, refuse);
    if (memory_mib === undefined) refuse(`${which}memory_mib is missing`);
    if ((cpu_count === undefined) === (cpu_pool === undefined)) {
      refuse(
        `${which}${cpu_count === undefined ? "cpu_count is missing" : "cpu_count conflicts with cpu_pool"}`,
      );
    }
    bytes.push(
      wholeNumber(memory_mib, 1, 2 ** 30) * MIB ||
        refuse(`${which}memory_mib is no number of MiB: ${shown(memory_mib)}`),
    );
    if (cpu_count !== undefined) {
      more +=
        wholeNumber(cpu_count, 1, 65_536) ||
        refuse(`${which}cpu_count is no number of CPUs: ${shown(cpu_count)}`);
      return;
    }
    const cpus = parseCpuList(String(cpu_pool)) ?? [];
    if (cpus.length === 0)
      refuse(`${which}cpu_pool is no list of CPUs: ${shown(cpu_pool)}`, "cpu_pool: 2,3,6-9");
    const again = cpus.filter((cpu) => list.includes(cpu));
    if (again.length > 0) refuse(`${which}cpu_pool has CPU ${again[0]}, which an entry before it has`);
    list.push(...cpus);
  });
  return { cpus: { list, more, typed }, memory: { bytes, typed } };
}

function entriesOf(text: string, refuse: (why: string, hint?: string) => never): unknown[] {
  let parsed: unknown;
  try {
    parsed = Bun.YAML.parse(text);
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error), "it is no YAML");
  }
  const entries: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
  if (entries.length === 0) refuse("it is an empty list");
  if (entries.length > MAX_ENCLAVES) refuse(`it has more than ${MAX_ENCLAVES} entries`);
  return entries;
}

function checkedEntry(
  entry: unknown,
  which: string,
  refuse: (why: string) => never,
): z.output<typeof entrySchema> {
  const result = entrySchema.safeParse(entry);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") return refuse(`${which}unknown key ${shown(issue.keys[0])}`);
  const [key] = issue?.path ?? [];
  if (key === undefined) return refuse(`${which}it has no keys and values`);
  return refuse(`${which}not a single value for ${shown(key)}`);
}

/** The number, or 0 for what is none between these. */
function wholeNumber(value: unknown, least: number, most: number): number {
  const text = String(value).trim();
  const number = /^\d{1,12}$/.test(text) ? Number(text) : 0;
  return number >= least && number <= most ? number : 0;
}

function shown(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 60));
}
