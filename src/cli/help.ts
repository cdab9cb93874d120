/** What `-help` and `-version` print; of options it says what the option table says. */
import { describeOptions, helpWithDefault } from "./options/describe.ts";
import { wrapText } from "./wrap.ts";

/** The subcommands, each with a line. */
const SUBCOMMANDS = {
  check: "tell everything that keeps a launch with these options from passing, and what mends it",
  pool: "prepare the parent instance: CPUs for enclaves, and huge pages",
  eif: "make, read, measure, sign and verify image files",
} as const;

/** A subcommand's name. */
export type SubcommandName = keyof typeof SUBCOMMANDS;

/** `nitro -version` in one line. @param program name and version. */
export function versionText(program: string): string {
  return `${program} (${process.arch === "arm64" ? "aarch64" : "x86_64"}, Bun ${Bun.version})\n`;
}

/** `nitro -help`. @param title name, version and description. */
export function helpText(title: string): string {
  const rows = describeOptions().map(({ name, alias, argument, help, properties, default: fallback }) => {
    const names = alias === undefined ? `-${name}` : `-${name}, -${alias}`;
    const head = argument === undefined ? names : `${names} ${argument}`;
    const lines = properties.map((each) =>
      wrapText(`          ${each.name}=${each.form}`.padEnd(34), helpWithDefault(each), 35),
    );
    const text = wrapText("       ", helpWithDefault({ help, default: fallback }), 8);
    return `  ${head}\n${text}${lines.join("")}`;
  });
  const commands = Object.entries(SUBCOMMANDS).map(([name, help]) => `  nitro ${name.padEnd(6)} ${help}\n`);
  return (
    `${title}\n\n` +
    "usage: nitro [-accel nitro[,debug-mode=on][,enclave-cid=N]] -kernel FILE [-initrd FILE] [-append TEXT] " +
    "[option...]\n\n" +
    `${commands.join("")}  (each has -help)\n\n` +
    `options (one dash or two):\n${rows.join("")}\n` +
    "exit status: 0 stopped on request or powered off in order, 1 not launched, 3 ended before its heartbeat,\n" +
    "or stopped for want of it, 4 crashed by what its console says, 5 ended by itself and nothing tells why\n"
  );
}
