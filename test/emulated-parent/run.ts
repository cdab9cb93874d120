/** For tests: runs a command in an emulated parent instance and returns the result. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "./report.ts";
import type { ScenarioInput } from "./scenario.ts";
import type { TraceEntry } from "./trace.ts";

/** The command, and the parent instance it runs on. */
export interface ParentRun {
  command: readonly string[];
  scenario?: ScenarioInput;
  /** `UID:GID[:G2,G3]`. */
  user?: string;
  limitSeconds?: number;
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** The command's standard input: empty by default, `pipe` for `ParentProcess.stdin`. */
  stdin?: "pipe" | "ignore" | Blob;
}

/** The result of a run. */
export interface ParentResult {
  /** The command's exit status; undefined if a signal terminated it. */
  status: number | undefined;
  /** The signal that terminated the command, such as `SIGKILL`. */
  signal: string | undefined;
  /** The supervisor's own status: 124 over the time limit, 125 if the supervisor itself failed. */
  parentStatus: number;
  stdout: string;
  stderr: string;
  trace: TraceEntry[];
  report: Report;
}

/** A running command. */
export interface ParentProcess {
  /** The supervisor; its stdin, stdout and stderr are the command's. */
  process: Bun.Subprocess<"pipe" | "ignore" | Blob, "pipe", "pipe">;
  /** The command's process id. The stage becomes the command, so it exists from the beginning. */
  commandPid(): number | undefined;
  /** Sends a signal to the command. */
  kill(signal: NodeJS.Signals): void;
  /** Waits for the end. Reads stdout and stderr to their ends, unless they have another reader. */
  finished(): Promise<ParentResult>;
}

/** Starts a command in an emulated parent instance. Its output is not read before `finished` is called. */
export function startInParent(run: ParentRun): ParentProcess {
  const directory = mkdtempSync(join(tmpdir(), "parent-"));
  const [trace, report] = [join(directory, "trace.json"), join(directory, "report.json")];
  const main = new URL("main.ts", import.meta.url).pathname;
  const scenario = join(directory, "scenario.json");
  writeFileSync(scenario, JSON.stringify(run.scenario ?? {}));
  const options = ["--scenario", scenario, "--trace", trace, "--report", report];
  if (run.user !== undefined) options.push("--user", run.user);
  options.push("--limit", String(run.limitSeconds ?? 60));
  const process = Bun.spawn([globalThis.process.execPath, main, ...options, "--", ...run.command], {
    stdin: run.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...globalThis.process.env, ...run.env },
    ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
  });
  const commandPid = (): number | undefined => firstChild(process.pid);
  return {
    process,
    commandPid,
    kill: (signal) => {
      const pid = commandPid();
      if (pid !== undefined) globalThis.process.kill(pid, signal);
    },
    finished: async () => {
      const take = async (stream: ReadableStream<Uint8Array>): Promise<string> =>
        stream.locked ? "" : await new Response(stream).text();
      const [stdout, stderr] = await Promise.all([take(process.stdout), take(process.stderr)]);
      const parentStatus = await process.exited;
      try {
        const written = JSON.parse(readFileSync(report, "utf8")) as Report;
        const lines = JSON.parse(readFileSync(trace, "utf8")) as TraceEntry[];
        const { status, signal } = written;
        return { status, signal, parentStatus, stdout, stderr, trace: lines, report: written };
      } catch {
        throw new Error(`the emulated parent instance failed (status ${parentStatus}):\n${stderr}`);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

/** Runs a command in an emulated parent instance to its end. */
export function runInParent(run: ParentRun): Promise<ParentResult> {
  return startInParent(run).finished();
}

/** The command is the supervisor's first child. */
function firstChild(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
    return text === "" ? undefined : Number(text.split(" ")[0]);
  } catch {
    return undefined;
  }
}

/** Why the emulated parent instance cannot run on this machine; undefined if it can. */
export function whyNotHere(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "needs Linux on x86_64";
  if (process.geteuid?.() !== 0) return "needs root";
  return undefined;
}
