/**
 * A broken host: an emulated parent instance where something keeps a launch from passing. In one run of it, one shell
 * checks, launches, types what the check printed for each failure, checks and launches again.
 */
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ParentResult } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { expectNothingLeft, launchAs, lines, NITRO, shellWords, type Workplace } from "../launch/nitro.ts";

/** A finding as `nitro check -json` prints it. */
export interface Told {
  readonly subject: string;
  readonly about: string;
  readonly status: "ok" | "note" | "warning" | "failure";
  readonly text: string;
  readonly command: string | null;
  readonly options: readonly string[] | null;
  readonly advice: string | null;
}

/** What `nitro check -json` prints. */
export interface CheckJson {
  readonly ready: boolean;
  readonly findings: readonly Told[];
  readonly untold: readonly string[];
}

/** A failure that is expected. */
export interface Problem {
  readonly subject: string;
  readonly text: string | RegExp;
  /** The command, or the options, that mend it. */
  readonly mend: string | RegExp;
}

/** One host. */
export interface BrokenHost {
  readonly name: string;
  readonly scenario: ScenarioInput;
  /** Options beside -kernel and -m 128M; the last of an option counts. */
  readonly options?: readonly string[];
  /** Options in place of these that the advice says, where check cannot say them as options. */
  readonly relaunch?: readonly string[];
  /** Every failure that check names, in its order. */
  readonly faults: readonly Problem[];
  /** Which of them a launch names: the first that it meets; 0 without it. */
  readonly launchNames?: number;
  /** What the launch says in other words than check, and what mends that. */
  readonly launchSays?: RegExp;
  /** The exit status of the launch that fails; 1 without it. */
  readonly launchStatus?: number;
  /** Lines of the shell before everything: what makes the host what it is and is no part of a scenario. */
  readonly before?: string;
  /** What stands before each check and launch: another user. */
  readonly as?: string;
  /** The same after the mend, where that differs. */
  readonly mendedAs?: string;
  readonly limitSeconds?: number;
  /** Lines of the shell that are typed where no command can be printed, in place of what the advice says. */
  readonly byHand?: string;
  /** Huge pages that others hold all the while. */
  readonly othersPages?: number;
}

/** Time enough for the slowest machine: tests wait for each other as well. */
export const PATIENCE_MS = 600_000;

/** An enclave that is heard and ends by itself, so late that the slowest launcher has heard it. */
const BRIEF = { heartbeatMs: 1, liveMs: 1500 };

/** What came of one host. */
interface Course {
  readonly result: ParentResult;
  readonly text: (name: string) => string;
  readonly json: (name: string) => CheckJson;
}

async function run(here: Workplace, host: BrokenHost): Promise<Course> {
  const directory = mkdtempSync(here.path("host-"));
  const { as = "", mendedAs = as, before = "", limitSeconds = 240 } = host;
  const words = shellWords(["-kernel", here.eif, "-m", "128M", ...(host.options ?? [])]);
  const again =
    host.relaunch === undefined ? words : shellWords(["-kernel", here.eif, "-m", "128M", ...host.relaunch]);
  const script = [
    `cd ${directory}; chmod 777 .`,
    before,
    `${as} nitro check ${words} >people.txt 2>&1; echo $? >people.status`,
    `${as} nitro check -json ${words} >check.json 2>check.err; echo $? >check.status`,
    `${as} nitro ${words} >launch.out 2>launch.err; echo $? >launch.status`,
    // The commands in their order, each once; what they print is no test's business unless they fail.
    `sed -n 's/^      "command": "\\(.*\\)",$/\\1/p' check.json | sed 's/\\\\"/"/g' | awk '!seen[$0]++' >mends.sh`,
    `awk '/"options": \\[/ { on = 1; next } /\\]/ { on = 0 } on { gsub(/[ ",]/, ""); print }' check.json >options`,
    'eval "$(cat mends.sh)" 2>mends.err',
    host.byHand ?? "",
    `${mendedAs} nitro check -json ${again} $(cat options) >after.json 2>after.err; echo $? >after.status`,
    `${mendedAs} nitro ${again} $(cat options) >relaunch.out 2>relaunch.err; echo $? >relaunch.status`,
    "[ ! -e pids ] || kill $(cat pids) 2>/dev/null; wait",
  ];
  const PATH = `${join(NITRO, "..")}:${process.env["PATH"]}`;
  const result = await launchAs({
    // A network namespace of its own: other launches of this machine share no port with these.
    command: ["unshare", "-n", "sh", "-c", script.filter((line) => line !== "").join("\n")],
    scenario: { enclave: BRIEF, ...host.scenario },
    limitSeconds,
    env: { PATH },
  });
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  const texts = new Map<string, string>();
  for (const name of FILES) texts.set(name, read(name));
  rmSync(directory, { recursive: true, force: true });
  const text = (name: string) => texts.get(name)?.trimEnd() ?? "";
  return { result, text, json: (name) => JSON.parse(text(name)) as CheckJson };
}

const FILES = [
  "people.txt",
  "people.status",
  "check.json",
  "check.err",
  "check.status",
  "launch.out",
  "launch.err",
].concat(
  ["launch.status", "mends.sh", "mends.err", "options", "after.json", "after.err", "after.status"],
  ["relaunch.err", "relaunch.status"],
);

function matches(text: string, wanted: string | RegExp): boolean {
  return typeof wanted === "string" ? text === wanted : wanted.test(text);
}

function mendOf({ command, options }: Told): string {
  return [command, options?.join(" ")].filter((part) => part).join(" | ");
}

/** Check names all faults with their mends; a launch names the same; the mends typed, both pass. */
export async function expectMended(here: Workplace, host: BrokenHost): Promise<Course> {
  const course = await run(here, host);
  const { text, json } = course;
  const { faults, launchNames = 0, launchStatus = 1 } = host;
  expect(text("check.err")).toBe("");
  const before = json("check.json");
  const failures = before.findings.filter(({ status }) => status === "failure");
  const told = failures.map((each) => ({ subject: each.subject, text: each.text, mend: mendOf(each) }));
  const agreed = faults.map((problem, i) => {
    const one = told[i];
    const fits =
      one?.subject === problem.subject && matches(one.text, problem.text) && matches(one.mend, problem.mend);
    return fits ? one : problem;
  });
  expect(told as readonly unknown[]).toEqual(agreed);
  expect([before.ready, text("check.status"), text("people.status")]).toEqual([false, "1", "1"]);
  // People read the same.
  for (const failure of failures) {
    expect(text("people.txt")).toContain(failure.text);
    if (failure.command !== null) expect(text("people.txt")).toContain(`type: ${failure.command}`);
    if (failure.options !== null) expect(text("people.txt")).toContain(`use:  ${failure.options.join(" ")}`);
  }
  if (host.launchSays !== undefined) expect(text("launch.err")).toMatch(host.launchSays);
  else expectLaunchNames(course, failures[launchNames], launchStatus);
  expect(text("mends.err")).toBe("");
  const after = json("after.json");
  expect(after.findings.filter(({ status }) => status === "failure")).toEqual([]);
  expect([after.ready, text("after.status")]).toEqual([true, "0"]);
  expect(text("relaunch.err")).toContain("nitro: enclave started: ");
  // The enclave ended by itself, as this one does.
  expect(text("relaunch.status")).toBe("5");
  expectNothingLeft(course.result, host.othersPages);
  return course;
}

function expectLaunchNames({ text }: Course, failure: Told | undefined, status: number): void {
  const said = text("launch.err");
  expect(said).toContain(failure?.text ?? "?");
  if (failure?.command) expect(said).toContain(failure.command);
  else if (failure?.options) expect(said).toContain(failure.options.join(" "));
  else expect(said).toContain(failure?.advice ?? "?");
  expect(text("launch.status")).toBe(String(status));
  expect(lines(said).filter((line) => line.includes("a fault of nitro's own"))).toEqual([]);
}
