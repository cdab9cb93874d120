/** argv in, exit status out: the only place that prints and the only one that ends the process. */
import { parseCommandLine } from "./cli/command-line.ts";
import { messagePrefix } from "./cli/options/name.ts";
import { EXIT } from "./launch/exit-status.ts";
import { launch } from "./launch/launch.ts";
import { HANDED_OVER } from "./launch/options.ts";
import { wasClosed } from "./sys/descriptor-flags.ts";
import { restoreJitThresholds } from "./sys/engine.ts";
import { errnoText, UserError } from "./sys/errors.ts";
import { escapeLine } from "./sys/escape-control.ts";
import { messageWriter, readText, STDERR, STDOUT, writeAll } from "./sys/files.ts";
import { ERRNO } from "./sys/linux/errno.ts";
import { openSystem, type System } from "./sys/system.ts";
import { isTerminal } from "./sys/terminal.ts";

/** Returns what every message begins with; -msg adds the time and the name of the enclave. */
type Prefix = () => string;

type Write = (text: string) => void;

const plainPrefix: Prefix = () => "nitro: ";

/** Returns a function that draws on standard error if that is a terminal, which it checks at the first call. */
function drawer(system: System, toStderr: Write): Write {
  let terminal: boolean | undefined;
  return (text) => {
    terminal ??= isTerminal(system, STDERR);
    if (terminal) toStderr(text);
  };
}

function reporter(toStderr: Write, prefix: Prefix): (line: string) => void {
  return (line) => toStderr(`${prefix()}${escapeLine(line)}\n`);
}

/** Writes to standard output; returns the exit status. Throws UserError if not everything could be written. */
function print(system: System, text: string, status = 0): number {
  if (text === "") return status;
  const errno = wasClosed(system, STDOUT) ? ERRNO.EBADF : -writeAll(system, STDOUT, text);
  if (errno === 0) return status;
  // A reader that closes the pipe early, such as head(1), is no error to report.
  if (errno === ERRNO.EPIPE) return EXIT.notLaunched;
  throw new UserError("standard output", `not all of the output could be written: ${errnoText(errno)}`);
}

async function main(): Promise<number> {
  let system: System;
  try {
    system = openSystem();
  } catch (error) {
    await Bun.write(Bun.stderr, failureText(error, plainPrefix()));
    return EXIT.notLaunched;
  }
  const toStderr = messageWriter(system, STDERR);
  let prefix = plainPrefix;
  try {
    const args = process.argv.slice(2);
    const daemonArgument = args[0]?.startsWith(HANDED_OVER) ? args.shift() : undefined;
    const request = parseCommandLine(args, (path) => readText(system, path));
    if ("launch" in request) {
      const options = request.launch;
      prefix = () => `${messagePrefix(options)}nitro: `;
      const report = reporter(toStderr, prefix);
      const draw = drawer(system, toStderr);
      return await launch(system, { options, args, daemonArgument, report, writeStderr: toStderr, draw });
    }
    if ("print" in request) return print(system, request.print);
    // A launch does without what only subcommands use.
    const { runSubcommand } = await import("./cli/commands/nitro.ts");
    restoreJitThresholds();
    const report = reporter(toStderr, plainPrefix);
    const context = { system, report, toStderr, stdout: STDOUT };
    const { output, status } = await runSubcommand(request.subcommand, context);
    return print(system, output, status);
  } catch (error) {
    writeAll(system, STDERR, failureText(error, prefix()));
    return EXIT.notLaunched;
  }
}

function failureText(error: unknown, prefix: string): string {
  if (error instanceof UserError) {
    const hint = error.hint === undefined ? "" : `hint: ${escapeLine(error.hint)}\n`;
    return `${prefix}${escapeLine(error.message)}\n${hint}`;
  }
  const trace = error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
  return `${prefix}internal error: ${trace}\nhint: report it with these lines and the command line\n`;
}

process.exit(await main());
