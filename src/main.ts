/** argv in, exit status out: the only place that prints and the only one that ends the process. */
import type { Occurrence } from "./cli/argv.ts";
import { readCommandLine } from "./cli/request.ts";
import { isPlain } from "./machine/console.ts";
import { launch } from "./machine/launch.ts";
import { HANDED_OVER, type LaunchOptions } from "./machine/options.ts";
import { checkOutputs } from "./machine/outputs.ts";
import { openTraceFile } from "./machine/trace-file.ts";
import { EXIT } from "./machine/verdict.ts";
import { Failure } from "./sys/failure.ts";
import { readText, writeAll } from "./sys/files.ts";
import { printable } from "./sys/printable.ts";
import { openSystem, type System } from "./sys/system.ts";
import { isTerminal } from "./sys/terminal.ts";

const STDOUT = 1;
const STDERR = 2;

/** What the launcher says begins with this; -msg may put a time and the enclave's name before it. */
type Prefix = () => string;

const plainPrefix: Prefix = () => "nitro: ";

async function start(system: System, options: LaunchOptions): Promise<number> {
  checkOutputs(system, options);
  using _trace = openTraceFile(system, options, (line) => writeAll(system, STDERR, line));
  return await launch(system, options, teller(system, plainPrefix), { draw: drawer(system) });
}

/** Draws on standard error where that is a terminal; whether it is, is asked when there is something to be drawn. */
function drawer(system: System): (text: string) => void {
  let terminal: boolean | undefined;
  return (text) => {
    terminal ??= isTerminal(system, STDERR);
    if (terminal) writeAll(system, STDERR, text);
  };
}

/** How long a message waits for a reader that takes nothing; after one that did, the next does not wait. */
const PATIENCE_MS = 1_000;

function teller(system: System, prefix: Prefix): (line: string) => void {
  let patienceMs = PATIENCE_MS;
  return (line) => {
    const told = writeAll(system, STDERR, `${prefix()}${printable(line)}\n`, patienceMs);
    patienceMs = told ? PATIENCE_MS : 0;
  };
}

async function readMore(system: System, occurrences: readonly Occurrence[]): Promise<LaunchOptions> {
  const { moreLaunchOptions } = await import("./cli/more-options.ts");
  return moreLaunchOptions(occurrences, (path) => readText(system, path));
}

async function prefixOf(options: LaunchOptions): Promise<Prefix> {
  const { messagePrefix } = await import("./cli/more-options.ts");
  return () => `${messagePrefix(options)}nitro: `;
}

async function main(): Promise<number> {
  const system = openSystem();
  const print = (text: string) => {
    writeAll(system, STDOUT, text);
    return 0;
  };
  let prefix = plainPrefix;
  try {
    const words = process.argv.slice(2);
    const handedOver = words[0]?.startsWith(HANDED_OVER) ? words.shift() : undefined;
    const request = readCommandLine(words);
    if ("launch" in request && handedOver === undefined && isPlain(request.launch)) {
      return await start(system, request.launch);
    }
    if ("launch" in request || "more" in request) {
      const options = "launch" in request ? request.launch : await readMore(system, request.more);
      if (options.messages !== undefined) prefix = await prefixOf(options);
      const { launchMore } = await import("./machine/launch-more.ts");
      const toStderr = (text: string) => writeAll(system, STDERR, text);
      const tell = teller(system, prefix);
      const draw = drawer(system);
      return await launchMore(system, { words, handedOver, options, tell, toStderr, draw });
    }
    if ("print" in request) return print(request.print);
    // Loaded only now: a launch does not need it.
    const { programText, runSubcommand } = await import("./cli/command.ts");
    if ("topic" in request) return print(await programText(request.topic));
    const tell = teller(system, plainPrefix);
    const toStderr = (text: string) => writeAll(system, STDERR, text);
    const printed = await runSubcommand(request.subcommand, { system, tell, toStderr, stdout: STDOUT });
    print(printed.print);
    return printed.status ?? 0;
  } catch (error) {
    writeAll(system, STDERR, failureText(error, prefix()));
    return EXIT.notLaunched;
  }
}

function failureText(error: unknown, prefix: string): string {
  if (error instanceof Failure) {
    const hint = error.hint === undefined ? "" : `hint: ${error.hint}\n`;
    return printable(`${prefix}${error.what}: ${error.why}\n${hint}`);
  }
  const trace = error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
  return `${prefix}a fault of nitro's own: ${trace}\nhint: please report it with these lines and the command line\n`;
}

process.exit(await main());
