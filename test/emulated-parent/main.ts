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
  --scenario FILE        a JSON file that describes the parent instance (README.md lists the keys)
  -j, --json JSON        the same as an argument; overrides the file's keys
  --boot                 short for -j '{"enclave": {"kind": "boot"}}'
  --trace FILE           write what happened, as a JSON array
  --report FILE          write counts, times and what was left over, as a JSON object
  --user UID:GID[:G2,G3] run the command as this user
  --opens all|writable   which opens of files are trapped
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
    return JSON.parse(text) as ScenarioInput; // checkScenario checks every key before any is used
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
  const rest = [...argv];
  const add = (input: ScenarioInput): void => {
    result.input = merge(result.input, input);
  };
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const value = (): string => {
      const next = rest.shift();
      if (next === undefined) throw new UsageError(`${arg} needs a value\n${usage}`);
      return next;
    };
    if (arg === "--" || !arg.startsWith("-")) {
      // bun removes a `--` that is the first argument, so the command may begin without one.
      result.command = arg === "--" ? rest : [arg, ...rest];
      break;
    }
    if (arg === "--boot") add({ enclave: { kind: "boot" } });
    else if (arg === "-v") result.verbose = true;
    else if (arg === "--scenario") {
      const file = value();
      add(parseJson(readFileSync(file, "utf8"), file));
    } else if (arg === "-j" || arg === "--json") add(parseJson(value(), arg));
    else if (arg === "--opens") add({ opens: value() as Scenario["opens"] });
    else if (arg === "--memory") add({ memory: value() as Scenario["memory"] });
    else if (arg === "--trace") result.trace = value();
    else if (arg === "--report") result.report = value();
    else if (arg === "--user") result.user = value();
    else if (arg === "--limit") result.limitMs = Number(value()) * 1000;
    else throw new UsageError(`unknown option ${arg}\n${usage}`);
  }
  if (result.command.length === 0) throw new UsageError(`no command\n${usage}`);
  return result;
}

/** Returns what this machine lacks for a run, and how to install it. */
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
  let commandSignalled = false;
  for (const [name, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
    ["SIGHUP", 1],
  ] as const) {
    process.on(name, () => {
      // A terminal sends Ctrl-C to the command as well. The first one is the command's; a second one stops the parent.
      if (name === "SIGINT" && isatty(0) && !commandSignalled) commandSignalled = true;
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
