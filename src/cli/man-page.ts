/** The man page nitro(1), from the option table, the commands and the pages of the manual. */
import { version } from "../../package.json" with { type: "json" };
import type { CommandDescription, CommandOption } from "./completion/description.ts";
import { EXIT_STATUSES } from "./help.ts";
import { MANUAL_PAGES } from "./manual-pages.ts";
import { describeOption, helpWithDefault } from "./options/describe.ts";
import { OPTION_GROUPS } from "./options/table.ts";
import { markdownToRoff, roffParagraph, roffText } from "./roff.ts";

/** Returns the page in man(7) macros. */
export async function manPage(commands: readonly CommandDescription[]): Promise<string> {
  const subcommands = commands.filter(({ meta }) => meta !== undefined);
  const pages = await Promise.all(Object.values(MANUAL_PAGES).map((page) => page.load()));
  return (
    ".\\\" Generated from nitro's option table and manual.\n" +
    `.TH NITRO 1 "" "nitro ${version}" "User Commands"\n.nh\n.ad l\n` +
    ".SH NAME\nnitro \\- launch AWS Nitro Enclaves with QEMU\\(aqs command line\n" +
    `.SH SYNOPSIS\n${SYNOPSIS.map(synopsisLine).join(".br\n")}` +
    `.SH OPTIONS\nOptions are written with one dash or two.\n${launchOptions()}` +
    `.SH COMMANDS\n${subcommands.map(commandSection).join("")}` +
    `.SH "EXIT STATUS"\n${EXIT_STATUSES.map(([status, meaning]) => definition(String(status), meaning)).join("")}` +
    `${pages.map(markdownToRoff).join("")}` +
    '.SH "SEE ALSO"\n.BR qemu\\-system\\-x86_64 (1)\n'
  );
}

const SYNOPSIS = [
  "nitro -kernel FILE [-initrd FILE] [-append TEXT] [option...]",
  "nitro COMMAND [argument...]",
];

function synopsisLine(line: string): string {
  return `${roffText(line)}\n`;
}

function definition(term: string, text: string): string {
  return `.TP\n.B "${roffText(term).replaceAll('"', "\\(dq")}"\n${roffText(text)}\n`;
}

function launchOptions(): string {
  return OPTION_GROUPS.map(({ title, options }) => {
    const rows = options.map((option) => {
      const { properties, default: fallback, help, ...row } = describeOption(option);
      const items = properties.map((property) =>
        definition(`${property.name}=${property.form}`, helpWithDefault(property)),
      );
      const nested = items.length === 0 ? "" : `.RS\n${items.join("")}.RE\n`;
      return `${optionRow({ ...row, help: helpWithDefault({ help, default: fallback }) })}${nested}`;
    });
    return `.SS ${roffText(title)}\n${rows.join("")}`;
  }).join("");
}

function optionRow(
  { name, alias, argument, help }: Pick<CommandOption, "name" | "alias" | "argument" | "help">,
  dashes = "-",
): string {
  const names = alias === undefined ? `${dashes}${name}` : `${dashes}${name}, -${alias}`;
  return definition(argument === undefined ? names : `${names} ${argument}`, help);
}

function commandSection({ name, description, options, meta }: CommandDescription): string {
  const { usage = [], details = [], exitStatus = "", dashes } = meta ?? {};
  const own = options.filter((option) => isOwn(option, name)).map((option) => optionRow(option, dashes));
  const more = details.map((text) =>
    text.startsWith(" ") ? `.PP\n.EX\n${roffText(text)}\n.EE\n` : `.PP\n${roffParagraph(text)}\n`,
  );
  return (
    `.SS ${roffText(`nitro ${name}`)}\n${roffText(capitalized(description))}.\n.PP\n` +
    `${usage.map((line) => synopsisLine(`nitro ${line}`)).join(".br\n")}` +
    own.join("") +
    `${more.join("")}.PP\nExit status: ${roffText(exitStatus)}.\n`
  );
}

/** The options of a launch are listed once, not again for nitro check. */
function isOwn({ name }: CommandOption, command: string): boolean {
  return command !== "check" || name === "json";
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
