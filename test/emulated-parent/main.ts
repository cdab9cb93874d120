/**
 * Runs a command in an emulated parent instance (see README.md).
 *
 *     bun test/emulated-parent/main.ts [OPTION…] -- COMMAND ARG…
 */
import { readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { isatty } from "node:tty";
import { ScenarioError } from "./checks.ts";
import { defaultBehaviour, type Scenario, type ScenarioInput } from "./scenario.ts";
import { checkScenario } from "./scenario-check.ts";
import { supervise } from "./supervisor.ts";

const STATUS_OVER_LIMIT = 124;
const STATUS_FAILED = 125;

const usage = `usage: bun test/emulated-parent/main.ts [OPTION...] -- COMMAND ARG...
  --scenario FILE        a JSON file that says what the parent instance is like (README.md lists the keys)
  -j, --json JSON        the same as an argument; overrides the file's keys
  --boot                 short for -j '{"enclave": {"kind": "boot"}}'
  --trace FILE           write what happened, as a JSON array
  --report FILE          write counts, times and what was left over, as a JSON object
  --user UID:GID[:G2,G3] run the command as this user
  --opens all|writable   which opens of files are looked at
  --memory auto|real|stand-in
  --limit SECONDS        kill the command after this time (exit status 124)
  -v                     print the trace on stderr as it happens`;

interface Arguments {
  input: ScenarioInput;
  command: string[];
  trace: string | undefined;
  report: string | undefined;
  user: string | undefined;
  limitMs: number | undefined;
  verbose: boolean;
}

/** A wrong command line, with the reason. */
class UsageError extends Error {}

function parseJson(text: string, source: string): ScenarioInput {
  try {
    return JSON.parse(text) as ScenarioInput; // checkScenario looks at every key before any is used
  } catch (error) {
    throw new UsageError(`${source}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function merge(first: ScenarioInput, second: ScenarioInput): ScenarioInput {
  return { ...first, ...second, enclave: { ...first.enclave, ...second.enclave } };
}

function parse(argv: readonly string[]): Arguments {
  const result: Arguments = {
    ...{ input: {}, command: [], trace: undefined, report: undefined },
    ...{ user: undefined, limitMs: undefined, verbose: false },
  };
  const words = [...argv];
  const add = (input: ScenarioInput): void => {
    result.input = merge(result.input, input);
  };
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const value = (): string => {
      const next = words.shift();
      if (next === undefined) throw new UsageError(`${word} needs a value\n${usage}`);
      return next;
    };
    if (word === "--" || !word.startsWith("-")) {
      // bun itself takes away a `--` that is the first word of all, so the command may begin without one.
      result.command = word === "--" ? words : [word, ...words];
      break;
    }
    if (word === "--boot") add({ enclave: { kind: "boot" } });
    else if (word === "-v") result.verbose = true;
    else if (word === "--scenario") {
      const file = value();
      add(parseJson(readFileSync(file, "utf8"), file));
    } else if (word === "-j" || word === "--json") add(parseJson(value(), word));
    else if (word === "--opens") add({ opens: value() as Scenario["opens"] });
    else if (word === "--memory") add({ memory: value() as Scenario["memory"] });
    else if (word === "--trace") result.trace = value();
    else if (word === "--report") result.report = value();
    else if (word === "--user") result.user = value();
    else if (word === "--limit") result.limitMs = Number(value()) * 1000;
    else throw new UsageError(`unknown option ${word}\n${usage}`);
  }
  if (result.command.length === 0) throw new UsageError(`no command\n${usage}`);
  return result;
}

/** What this machine lacks for a run, with the way to get it. */
function missing(args: Arguments, scenario: Scenario): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `the emulated parent instance runs on Linux on x86_64, not on ${process.platform} on ${process.arch}`;
  }
  if (process.geteuid?.() !== 0)
    return "it must run as root: it opens other processes' memory and descriptors (sudo)";
  const [major = 0, minor = 0] = readFileSync("/proc/sys/kernel/osrelease", "latin1").split(".").map(Number);
  if (major < 5 || (major === 5 && minor < 19))
    return `Linux 5.19 or later is needed (this is ${major}.${minor})`;
  const boots = [scenario.enclave, ...scenario.enclaves].find((behaviour) => behaviour.kind === "boot");
  const qemu = boots?.qemu ?? defaultBehaviour.qemu;
  if (boots !== undefined && Bun.which(qemu) === null) {
    return `booting needs ${qemu}: apt-get install qemu-system-x86`;
  }
  if (args.limitMs !== undefined && !(args.limitMs > 0)) return "--limit needs a number of seconds above 0";
  if (args.user !== undefined && !/^\d+:\d+(:\d+(,\d+)*)?$/.test(args.user))
    return "--user needs UID:GID[:G2,G3]";
  return undefined;
}

async function main(argv: readonly string[]): Promise<number> {
  const args = parse(argv);
  const scenario = checkScenario(args.input);
  const reason = missing(args, scenario);
  if (reason !== undefined) throw new UsageError(reason);
  let interrupted = 0;
  let heeded = false;
  for (const [name, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
    ["SIGHUP", 1],
  ] as const) {
    process.on(name, () => {
      // A terminal sends Ctrl-C to the command as well: it is the command's, and ours only if it is not heeded.
      if (name === "SIGINT" && isatty(0) && !heeded) heeded = true;
      else interrupted = number;
    });
  }
  const { command, user, limitMs, verbose } = args;
  const { report, trace } = await supervise({
    scenario,
    command,
    user,
    limitMs,
    verbose,
    isInterrupted: () => interrupted > 0,
  });
  if (args.trace !== undefined) {
    writeFileSync(args.trace, `[\n${trace.map((entry) => `  ${JSON.stringify(entry)}`).join(",\n")}\n]\n`);
  }
  if (args.report !== undefined) writeFileSync(args.report, `${JSON.stringify(report, null, 2)}\n`);
  if (interrupted > 0) return 128 + interrupted;
  if (report.overLimit) return STATUS_OVER_LIMIT;
  if (report.status !== undefined) return report.status;
  const signals = new Map<string, number>(Object.entries(constants.signals));
  return 128 + (signals.get(report.signal ?? "") ?? 0);
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  const expected = error instanceof UsageError || error instanceof ScenarioError;
  console.error(
    `parent: ${error instanceof Error ? (expected ? error.message : error.stack) : String(error)}`,
  );
  process.exit(STATUS_FAILED);
}
