/** What is printed for a command that does not exist: the commands, and the one that was probably meant. */

import { UserError } from "../../sys/errors.ts";
import { shellQuote } from "../../sys/shell-quote.ts";
import { nearest } from "../nearest.ts";

/** The commands of AWS's nitro-cli, each with what does the same here (aws-nitro-enclaves-cli, src/main.rs). */
const NITRO_CLI: Readonly<Record<string, string>> = {
  "run-enclave": "to run an enclave: nitro -kernel app.eif -smp 2 -m 512M",
  "build-enclave": "to build an image: nitro eif build -o app.eif -kernel bzImage -initrd initrd.cpio.gz",
  "describe-eif": "to describe an image: nitro eif describe app.eif",
  "sign-eif": "to sign an image: nitro eif sign app.eif -signing-certificate cert.pem -private-key key.pem",
  pcr: "to print the PCRs of an image: nitro eif pcr app.eif",
  console: "to see the console of an enclave: nitro -accel nitro,debug-mode=on -kernel app.eif",
  "describe-enclaves": "each enclave has a nitro process: pgrep -a nitro",
  "terminate-enclave": "an enclave ends with its nitro process: press Ctrl-C in its terminal",
  explain: "to read about exit statuses: nitro help exit-status",
};

/** Subcommands of eif and pool, which users may type without `eif` or `pool`. */
const NESTED: Readonly<Record<string, string>> = {
  build: "eif build",
  describe: "eif describe",
  extract: "eif extract",
  sign: "eif sign",
  verify: "eif verify",
  status: "pool status",
  release: "pool release",
};

/**
 * Returns the error for an unknown command.
 * @param name as it was typed. @param parent the command it was typed after, "" for nitro. @param known its commands.
 */
export function unknownCommand(name: string, parent: string, known: readonly string[]): UserError {
  const launch = parent === "" ? "; to launch: nitro -kernel FILE" : "";
  const typed = parent === "" ? name : `${parent} ${name}`;
  return new UserError(
    `unknown command '${typed}' (commands: ${known.join(", ")}${launch})`,
    "",
    hintFor(name, parent, known),
  );
}

function hintFor(name: string, parent: string, known: readonly string[]): string {
  const prefix = parent === "" ? "nitro" : `nitro ${parent}`;
  if (Object.hasOwn(NITRO_CLI, name)) return NITRO_CLI[name] ?? "";
  if (parent === "" && (name.endsWith(".eif") || name.includes("/")))
    return `nitro -kernel ${shellQuote(name)}`;
  if (parent === "" && Object.hasOwn(NESTED, name)) return `did you mean 'nitro ${NESTED[name]}'?`;
  const similar = nearest(name, known);
  return similar === undefined ? `${prefix} -help shows the usage` : `did you mean '${prefix} ${similar}'?`;
}
