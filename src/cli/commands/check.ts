/** `nitro check`: the options of a launch, and the report as text and as JSON. */
import { type CheckReport, checkLaunch } from "../../check/check.ts";
import { type Finding, type Status, SUBJECTS } from "../../check/finding.ts";
import type { LaunchOptions } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { readText } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { parseLaunch } from "../command-line.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import { defineSubcommand, type SubcommandCall, type SubcommandResult } from "./subcommand.ts";

/** The command. */
export const checkCommand = defineSubcommand({
  meta: {
    name: "check",
    description: "report everything that would keep a launch from succeeding",
    usage: ["check [-json] -kernel FILE [option...]"],
    examples: [
      "check -kernel app.eif",
      "check -m 512M -smp 2 -kernel bzImage -initrd initrd.cpio.gz",
      "check -json -kernel app.eif",
    ],
    details: [
      "All other options are those of the launch; nitro -help lists them.",
      "It reports all problems at once, each with the command that fixes it, in the order in which to run the " +
        "commands. It changes nothing: it starts no enclave, and reserves no memory and no CPU.",
    ],
    exitStatus: "0 if a launch would succeed, else 1",
    page: "check",
  },
  args: { json: { type: "boolean", description: "print JSON" } },
  launchOptions: true,
  run,
});

async function run({ context: { system }, args }: SubcommandCall): Promise<SubcommandResult> {
  const request = launchRequest(system, args);
  if ("print" in request) return { output: request.print };
  const report = await checkLaunch(system, request.launch);
  const output = args.has("json")
    ? `${JSON.stringify(reportJson(report), undefined, 2)}\n`
    : reportText(report);
  return { output, status: report.ready ? 0 : 1 };
}

function launchRequest(
  system: System,
  { options }: SubcommandArgs,
): { launch: LaunchOptions } | { print: string } {
  const launch = options.filter(({ name }) => name !== "json");
  const request = parseLaunch(launch, (path) => readText(system, path));
  if ("subcommand" in request)
    throw new UserError(
      "-version",
      "launches nothing, so there is nothing to check",
      "nitro check -kernel app.eif",
    );
  return request;
}

const MARKS: Readonly<Record<Status, string>> = { ok: "ok", note: "-", warning: "warn", failure: "FAIL" };
const MARK_COLUMNS = 6;
const SUBJECT_COLUMNS = 10;

/** One line for each finding, with its fix below a failure. */
function reportText({ ready, findings, notCheckable }: CheckReport): string {
  const margin = " ".repeat(MARK_COLUMNS + SUBJECT_COLUMNS);
  const lines = findings.flatMap((finding) => [
    `${MARKS[finding.status].padEnd(MARK_COLUMNS)}${finding.subject.padEnd(SUBJECT_COLUMNS)}${finding.text}`,
    ...fixLines(finding).map((line) => `${margin}${line}`),
  ]);
  const count = findings.filter(({ status }) => status === "failure").length;
  const order = count === 1 ? "run the fix" : "run the fixes in this order";
  const conclusion = ready
    ? "no problems found: a launch would succeed"
    : `${count} problem${count === 1 ? "" : "s"} found; ${order}, then run nitro check again`;
  return `${[...lines, `cannot be checked in advance: ${notCheckable.join("; ")}`, conclusion].join("\n")}\n`;
}

function fixLines({ command, options, advice, status }: Finding): string[] {
  if (status !== "failure") return [];
  return [
    ...(command === undefined ? [] : [`fix: ${command}`]),
    ...(options === undefined ? [] : [`use: ${options.join(" ")}`]),
    ...(advice === undefined ? [] : [`hint: ${advice}`]),
  ];
}

function reportJson({ ready, findings, notCheckable }: CheckReport): unknown {
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
    notCheckable,
  };
}
