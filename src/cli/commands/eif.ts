/** `nitro eif …`: images built, described, taken apart, measured, signed and verified. */
import { type CommandDef, defineCommand, runCommand } from "citty";
import type { Around } from "../../eif/progress.ts";
import { UserError } from "../../sys/errors.ts";
import { isTerminal } from "../../sys/terminal.ts";
import type { Printed, Subcommand, Surroundings } from "./command.ts";

/** What a command of eif is given: what it works with, and standard output's descriptor. */
export interface EifSurroundings extends Around {
  readonly stdout: number;
}

/** A command of eif. */
export type EifCommand = (around: EifSurroundings) => CommandDef;

interface Row {
  readonly help: string;
  readonly load: () => Promise<EifCommand>;
}

const COMMANDS: Readonly<Record<string, Row>> = {
  build: {
    help: "makes an image of a kernel, ramdisks and a command line",
    load: async () => (await import("./eif-build.ts")).eifBuild,
  },
  describe: {
    help: "tells what is in an image, as AWS's describe-eif does",
    load: async () => (await import("./eif-describe.ts")).eifDescribe,
  },
  extract: {
    help: "writes an image's sections into files",
    load: async () => (await import("./eif-describe.ts")).eifExtract,
  },
  pcr: {
    help: "tells PCRs: of an image, of what would be launched, of a certificate, a role, an instance",
    load: async () => (await import("./eif-pcr.ts")).eifPcr,
  },
  sign: {
    help: "signs an image, or signs it anew; in two steps for a key in a KMS or HSM",
    load: async () => (await import("./eif-sign.ts")).eifSign,
  },
  verify: {
    help: "checks an image's CRC, signature and certificate",
    load: async () => (await import("./eif-sign.ts")).eifVerify,
  },
};

const STDERR = 2;
const HELP_WORDS = ["-h", "-help", "--help"];

/** The command and its own commands. */
export const eif: Subcommand = (around) =>
  defineCommand({
    meta: { name: "eif", description: "enclave image files" },
    run: ({ rawArgs }) => runEif(around, rawArgs),
  });

async function runEif(around: Surroundings, typed: readonly string[]): Promise<Printed> {
  const [name = "-help", ...rest] = typed;
  if (HELP_WORDS.includes(name)) return { print: helpText() };
  const row = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (row === undefined) {
    throw new UserError(`eif ${name}`, "no command of eif", `it has ${Object.keys(COMMANDS).join(", ")}`);
  }
  const { system, report, toStderr, stdout } = around;
  const draw = isTerminal(system, STDERR) ? toStderr : undefined;
  const command = (await row.load())({ system, report, draw, stdout });
  const { result } = await runCommand(command, { rawArgs: rest });
  return result as Printed;
}

function helpText(): string {
  const rows = Object.entries(COMMANDS).map(([name, { help }]) => `  ${name.padEnd(9)} ${help}\n`);
  return (
    `enclave image files (EIF)\n\nusage: nitro eif COMMAND [option...]\n\n${rows.join("")}\n` +
    "nitro eif COMMAND -help tells more. Every one takes -json.\n"
  );
}
