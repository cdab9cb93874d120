/**
 * A broken host: an emulated parent instance with something that keeps a launch from succeeding. One shell in it runs
 * the check and the launch, applies the fixes that the check printed, and runs the check and the launch again.
 */
import { expect } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ParentResult } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { expectNothingLeft, launchAs, lines, NITRO, shellWords, type Workplace } from "../launch/nitro.ts";

/** A finding as `nitro check -json` prints it. */
export interface JsonFinding {
  readonly subject: string;
  readonly about: string;
  readonly status: "ok" | "note" | "warning" | "failure";
  readonly text: string;
  readonly command: string | null;
  readonly options: readonly string[] | null;
  readonly advice: string | null;
}

/** The output of `nitro check -json`. */
export interface CheckJson {
  readonly ready: boolean;
  readonly findings: readonly JsonFinding[];
  readonly notCheckable: readonly string[];
}

/** An expected failure. */
export interface ExpectedFailure {
  readonly subject: string;
  readonly text: string | RegExp;
  /** The command, the options, or `command | options`; "" if check prints advice only. */
  readonly fix: string | RegExp;
}

/** One host. */
export interface BrokenHost {
  readonly name: string;
  readonly scenario: ScenarioInput;
  /** Options in addition to -kernel and -m 128M; the last of an option counts. */
  readonly options?: readonly string[];
  /** Options that replace these after the fix, following advice that check cannot print as options. */
  readonly relaunch?: readonly string[];
  /** Every failure that check reports, in order. */
  readonly failures: readonly ExpectedFailure[];
  /** The index of the failure that a launch reports, which is the first it meets; default 0. */
  readonly launchReports?: number;
  /** The launch's message, if it differs from check's. */
  readonly launchMessage?: RegExp;
  /** The exit status of the failing launch; default 1. */
  readonly launchStatus?: number;
  /** Shell commands to run first, for what a scenario cannot describe. */
  readonly before?: string;
  /** A prefix of each check and launch, such as to run as another user. */
  readonly as?: string;
  /** The same after the fix, if it differs. */
  readonly fixedAs?: string;
  readonly limitSeconds?: number;
  /** Shell commands that follow advice which check prints without a command. */
  readonly manualFix?: string;
  /** How many of the printed commands run before the manual fix; default all. */
  readonly manualFixAfter?: number;
  /** Huge pages that other processes use throughout. */
  readonly pagesInUse?: number;
}

/** How the fixes for Debian and Ubuntu install a package: without restarting or removing anything. */
export const APT_INSTALL = "env NEEDRESTART_MODE=l apt-get install -y --no-remove";

/** Enough for the slowest machine, where tests also wait for each other. */
export const TEST_TIMEOUT_MS = 600_000;

/** An enclave that sends its heartbeat and exits, late enough for the slowest launcher to receive it. */
const BRIEF = { heartbeatMs: 1, liveMs: 1500 };

const ALL_COMMANDS = 1000;

interface HostRun {
  readonly result: ParentResult;
  readonly text: (name: string) => string;
  readonly json: (name: string) => CheckJson;
}

/**
 * Programs that can end a process, a module, an enclave or the instance. Stand-ins come first in PATH: they record the
 * call, and go on to the emulated instance's program, if there is one.
 */
const RECORDED =
  "kill pkill killall killall5 skill fuser reboot shutdown poweroff halt init telinit systemctl service loginctl " +
  "initctl rmmod modprobe kexec docker podman ctr crictl kubectl virsh nitro-cli aws umount swapoff sysctl";
/** The only recorded calls that a fix may make: they load a module. */
const HARMLESS = /^modprobe [a-z_]+$/;

const STAND_IN = `#!/bin/sh
echo "\${0##*/} $*" >>CALLS
PATH=\${PATH#*:}
command -v "\${0##*/}" >/dev/null || exit 0
exec "\${0##*/}" "$@"
`;

/** Shell functions: lists the background processes that run, and prints those of this list that have ended. */
const PROCESSES = [
  "running() { grep -qs '^State:.[^ZX]' /proc/$1/status; }",
  "list() { jobs -p >jobs; for p in $(cat jobs); do running $p && echo $p; done >before.pids; }",
  "ended() { for p in $(cat before.pids); do running $p || echo $p; done >>ended; }",
];

const FILES = [
  ...["ended", "calls", "blind.err"],
  ...["people.txt", "people.status", "check.json", "check.err", "check.status"],
  ...["launch.out", "launch.err", "launch.status", "fixes.sh", "fixes.err", "options"],
  ...["after.json", "after.err", "after.status", "relaunch.err", "relaunch.status"],
];

async function run(here: Workplace, host: BrokenHost): Promise<HostRun> {
  const directory = mkdtempSync(here.path("host-"));
  const { as = "", fixedAs = as, before = "", manualFix = "", limitSeconds = 240 } = host;
  const { manualFixAfter = ALL_COMMANDS } = host;
  const launchArgs = (options: readonly string[]) =>
    shellWords(["-kernel", here.eif, "-m", "128M", ...options]);
  const args = launchArgs(host.options ?? []);
  const fixedArgs = launchArgs(host.relaunch ?? host.options ?? []);
  const standIns = join(directory, "stand-ins");
  mkdirSync(standIns);
  for (const name of ["calls", "ended", "blind.err"]) writeFileSync(join(directory, name), "");
  chmodSync(join(directory, "calls"), 0o666);
  for (const name of RECORDED.split(" ")) {
    writeFileSync(join(standIns, name), STAND_IN.replace("CALLS", join(directory, "calls")), { mode: 0o755 });
  }
  const script = [
    `cd ${directory}; chmod 777 .`,
    ...PROCESSES,
    "sleep 1000 & victim=$!",
    before,
    "list",
    `${as} nitro check ${args} >people.txt 2>&1; echo $? >people.status`,
    `${as} nitro check -json ${args} >check.json 2>check.err; echo $? >check.status`,
    `${as} nitro ${args} >launch.out 2>launch.err; echo $? >launch.status`,
    // The printed commands in their order, each once. Their output does not matter unless they fail.
    `sed -n 's/^      "command": "\\(.*\\)",$/\\1/p' check.json | sed 's/\\\\"/"/g' | awk '!seen[$0]++' >fixes.sh`,
    `awk '/"options": \\[/ { on = 1; next } /\\]/ { on = 0 } on { gsub(/[ ",]/, ""); print }' check.json >options`,
    "OWN=$PATH; PATH=$STAND_INS:$OWN",
    `eval "$(head -n ${manualFixAfter} fixes.sh)" 2>fixes.err`,
    "PATH=$OWN; ended",
    manualFix,
    "list; PATH=$STAND_INS:$OWN",
    `eval "$(tail -n +${manualFixAfter + 1} fixes.sh)" 2>>fixes.err`,
    "PATH=$OWN; ended; list",
    `${fixedAs} nitro check -json ${fixedArgs} $(cat options) >after.json 2>after.err; echo $? >after.status`,
    `${fixedAs} nitro ${fixedArgs} $(cat options) >relaunch.out 2>relaunch.err & launcher=$!`,
    // The same commands again, each by a shell of its own, while the enclave runs.
    "until grep -qs 'enclave started' relaunch.err || ! running $launcher; do sleep 0.02; done",
    `while read -r fix; do PATH=$STAND_INS:$OWN sh -c "$fix" </dev/null >/dev/null 2>>blind.err; done <fixes.sh`,
    "ended; wait $launcher; echo $? >relaunch.status",
    "[ ! -e pids ] || kill $(cat pids) 2>/dev/null; kill $victim; wait",
  ];
  const PATH = `${join(NITRO, "..")}:${process.env["PATH"]}`;
  const result = await launchAs({
    // A network namespace of its own: no port is shared with other launches on this machine.
    command: ["unshare", "-n", "sh", "-c", script.filter((line) => line !== "").join("\n")],
    scenario: { enclave: BRIEF, ...host.scenario },
    limitSeconds,
    env: { PATH, STAND_INS: standIns },
  });
  const texts = new Map(FILES.map((name) => [name, readFileSync(join(directory, name), "utf8")]));
  rmSync(directory, { recursive: true, force: true });
  const text = (name: string) => texts.get(name)?.trimEnd() ?? "";
  return { result, text, json: (name) => JSON.parse(text(name)) as CheckJson };
}

function matches(text: string, expected: string | RegExp): boolean {
  return typeof expected === "string" ? text === expected : expected.test(text);
}

function fixOf({ command, options }: JsonFinding): string {
  return [command, options?.join(" ")].filter((text) => text).join(" | ");
}

/** Expects check to report all failures with their fixes, and a launch to report the same; after the fixes, both pass. */
export async function expectFixable(here: Workplace, host: BrokenHost): Promise<void> {
  const hostRun = await run(here, host);
  const { text, json } = hostRun;
  expect(text("check.err")).toBe("");
  // First of all: neither the fixes nor the same commands during a run end a process; the relaunched enclave's status says so, too.
  expect([text("ended"), lines(text("calls")).filter((call) => !HARMLESS.test(call))]).toEqual(["", []]);
  const before = json("check.json");
  const failures = before.findings.filter(({ status }) => status === "failure");
  expectFailures(failures, host.failures);
  expect([before.ready, text("check.status"), text("people.status")]).toEqual([false, "1", "1"]);
  // The output for people has the same texts and fixes.
  for (const { text: why, command, options } of failures) {
    expect(text("people.txt")).toContain(why);
    if (command !== null) expect(text("people.txt")).toContain(`fix: ${command}`);
    if (options !== null) expect(text("people.txt")).toContain(`use: ${options.join(" ")}`);
  }
  if (host.launchMessage !== undefined) expect(text("launch.err")).toMatch(host.launchMessage);
  else expectLaunchReports(hostRun, failures[host.launchReports ?? 0], host.launchStatus ?? 1);
  expect(text("fixes.err")).toBe("");
  const after = json("after.json");
  expect(after.findings.filter(({ status }) => status === "failure")).toEqual([]);
  expect([after.ready, text("after.status")]).toEqual([true, "0"]);
  expect(text("relaunch.err")).toContain("nitro: enclave started: ");
  // Status 5: the emulated enclave exits by itself.
  expect(text("relaunch.status")).toBe("5");
  expectNothingLeft(hostRun.result, host.pagesInUse);
}

function expectFailures(found: readonly JsonFinding[], expected: readonly ExpectedFailure[]): void {
  const actual = found.map((finding) => ({
    ...{ subject: finding.subject, text: finding.text, fix: fixOf(finding) },
  }));
  const agreed = expected.map((failure, i) => {
    const one = actual[i];
    const agrees =
      one?.subject === failure.subject && matches(one.text, failure.text) && matches(one.fix, failure.fix);
    return agrees ? one : failure;
  });
  expect(actual as readonly unknown[]).toEqual(agreed);
}

function expectLaunchReports({ text }: HostRun, failure: JsonFinding | undefined, status: number): void {
  const stderr = text("launch.err");
  expect(stderr).toContain(failure?.text ?? "?");
  if (failure?.command) expect(stderr).toContain(failure.command);
  else if (failure?.options) expect(stderr).toContain(failure.options.join(" "));
  else expect(stderr).toContain(failure?.advice ?? "?");
  expect(text("launch.status")).toBe(String(status));
  expect(lines(stderr).filter((line) => line.includes("internal error"))).toEqual([]);
}
