/** `nitro check`: the words of a launch, and what it prints for people and for programs. */
import { type CommandDef, defineCommand } from "citty";
import { type CheckReport, checkLaunch } from "../../check/check.ts";
import { type Finding, type Status, SUBJECTS } from "../../check/finding.ts";
import type { LaunchOptions } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { readText } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { scanArguments } from "../argv.ts";
import { parseCommandLine } from "../command-line.ts";
import { LAUNCH_OPTIONS } from "../options/table.ts";
import type { Printed, Surroundings } from "./command.ts";

const DESCRIPTION =
  "looks at everything that a launch with these options would meet here, and touches nothing";

const HELP = `${DESCRIPTION}

usage: nitro check [-json] -kernel FILE [option...]

The options are a launch's (nitro -help). What keeps it from passing is told all at once, each with the command
that mends it, in the order in which to type them. -json gives the same for programs.

exit status: 0 where a launch would pass, else 1
`;

/** The command. */
export function checkCommand(around: Surroundings): CommandDef {
  return defineCommand({
    meta: { name: "check", description: DESCRIPTION },
    run: ({ rawArgs }) => run(around, rawArgs),
  });
}

async function run({ system }: Surroundings, typed: readonly string[]): Promise<Printed> {
  const { words, json, help } = ownWords(typed);
  if (help) return { print: HELP };
  const checked = await checkLaunch(system, launchOf(system, words));
  const print = json ? `${JSON.stringify(forPrograms(checked), undefined, 2)}\n` : forPeople(checked);
  return { print, status: checked.ready ? 0 : 1 };
}

/** Takes this command's own words out of a launch's; an option's argument is the option's, whatever it looks like. */
function ownWords(typed: readonly string[]): { words: string[]; json: boolean; help: boolean } {
  const words: string[] = [];
  let [json, help] = [false, false];
  for (let i = 0; i < typed.length; i++) {
    const word = typed[i] ?? "";
    const name = word.replace(/^--?/, "");
    if (word.startsWith("-") && name === "json") json = true;
    else if (word.startsWith("-") && (name === "help" || name === "h")) help = true;
    else {
      words.push(word);
      const option = LAUNCH_OPTIONS.find((each) => each.name === name || each.alias === name);
      const next = typed[i + 1];
      if (!word.startsWith("-") || option?.argument === undefined || next === undefined) continue;
      words.push(next);
      i++;
    }
  }
  return { words, json, help };
}

/** What a launch makes of the words. Throws UserError as it does. */
function launchOf(system: System, words: readonly string[]): LaunchOptions {
  const [first] = words;
  // A launch would take it for a subcommand's name.
  if (first !== undefined && !first.startsWith("-")) scanArguments(words);
  const request = parseCommandLine(words, (path) => readText(system, path));
  if ("launch" in request) return request.launch;
  throw new UserError("check", "these words print something and launch nothing", "nitro check -kernel FILE");
}

const MARKS: Readonly<Record<Status, string>> = { ok: "ok", note: "-", warning: "warn", failure: "FAIL" };
const MARK_COLUMNS = 6;
const SUBJECT_COLUMNS = 10;

/** A line for each finding, with a mark that is readable in a log; beneath a failure what mends it. */
function forPeople({ ready, findings, notCheckable }: CheckReport): string {
  const margin = " ".repeat(MARK_COLUMNS + SUBJECT_COLUMNS);
  const lines = findings.flatMap((finding) => [
    `${MARKS[finding.status].padEnd(MARK_COLUMNS)}${finding.subject.padEnd(SUBJECT_COLUMNS)}${finding.text}`,
    ...mends(finding).map((mend) => `${margin}${mend}`),
  ]);
  const failures = findings.filter(({ status }) => status === "failure").length;
  const counted = `${failures} failure${failures === 1 ? "" : "s"}`;
  const verdict = ready
    ? "ready: a launch would pass"
    : `not ready: ${counted}; type what mends each, in this order`;
  return `${[...lines, `not told beforehand: ${notCheckable.join("; ")}`, verdict].join("\n")}\n`;
}

function mends({ command, options, advice, status }: Finding): string[] {
  if (status !== "failure") return [];
  return [
    ...(command === undefined ? [] : [`type: ${command}`]),
    ...(options === undefined ? [] : [`use:  ${options.join(" ")}`]),
    ...(advice === undefined ? [] : [`hint: ${advice}`]),
  ];
}

function forPrograms({ ready, findings, notCheckable }: CheckReport): unknown {
  return {
    ready,
    findings: findings.map(({ subject, status, text, command, options, advice }) => ({
      subject,
      about: SUBJECTS[subject],
      status,
      text,
      command: command ?? null,
      options: options ?? null,
      advice: advice ?? null,
    })),
    untold: notCheckable,
  };
}
