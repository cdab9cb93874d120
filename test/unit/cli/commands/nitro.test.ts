import { describe, expect, test } from "bun:test";
import { version } from "../../../../package.json" with { type: "json" };
import { runSubcommand } from "../../../../src/cli/commands/nitro.ts";
import { EXIT_STATUSES } from "../../../../src/cli/help.ts";
import { MANUAL_PAGES } from "../../../../src/cli/manual-pages.ts";
import { LAUNCH_OPTIONS } from "../../../../src/cli/options/table.ts";
import { EXIT } from "../../../../src/launch/exit-status.ts";
import { UserError } from "../../../../src/sys/errors.ts";
import { openSystem } from "../../../../src/sys/system.ts";

const MANUAL = `${import.meta.dir}/../../../../src/manual`;
const context = { system: openSystem(), report() {}, toStderr() {}, stdout: 1 };

async function output(...args: string[]): Promise<string> {
  const result = await runSubcommand(args, context);
  expect(result.status ?? 0).toBe(0);
  return result.output;
}

/** The message and the hint of the command's UserError. */
async function errorOf(...args: string[]): Promise<[message: string, hint: string | undefined]> {
  const error = await runSubcommand(args, context).then(
    () => undefined,
    (reason) => reason,
  );
  if (!(error instanceof UserError)) throw new Error(`not a UserError: ${error}`);
  return [error.message, error.hint];
}

const LEAVES = [
  "check",
  "pool",
  "eif build",
  "eif describe",
  "eif extract",
  "eif pcr",
  "eif sign",
  "eif verify",
  "help",
  "version",
];

describe("help", () => {
  test.each([["-help"], ["help"], ["eif", "-help"], ...LEAVES.map((name) => [...name.split(" "), "-help"])])(
    "help: nitro %s %s %s fits 80 columns",
    async (...args) => {
      const lines = (await output(...args.filter((arg) => typeof arg === "string"))).split("\n");
      expect(lines.filter((line) => line.length > 80)).toEqual([]);
      expect(lines.at(-1)).toBe("");
    },
  );

  test("nitro -help: begins with three examples, and has every option and exit status", async () => {
    const text = await output("-help");
    expect(text).toMatch(
      /^nitro \S+: launches AWS Nitro Enclaves with QEMU's command line\n\nexamples:\n( {2}nitro .+\n){3}\n/,
    );
    for (const { name } of LAUNCH_OPTIONS) expect(text).toMatch(new RegExp(`^  -${name}\\b`, "m"));
    expect(text).toContain("  -machine, -M nitro[,prop=value...]\n");
    for (const [status, meaning] of EXIT_STATUSES) expect(text).toContain(`\n  ${status}  ${meaning}\n`);
    expect(EXIT_STATUSES.map(([status]) => status)).toEqual(Object.values(EXIT).sort());
  });

  test.each(LEAVES)("nitro %s -help: has usage, examples and exit status", async (name) => {
    const text = await output(...name.split(" "), "--help");
    expect(text).toStartWith(`nitro ${name}: `);
    expect(text).toContain(`\n\nusage: nitro ${name}`);
    expect(text).toMatch(/\n\nexamples:\n( {2}nitro .+\n)+\n/);
    expect(text).toMatch(/\n {2}--?help, -h\n {8}print this help\n/);
    expect(text).toMatch(/\nexit status: 0/);
    expect(await output(...name.split(" "), "-h")).toBe(text);
    if (!Object.hasOwn(MANUAL_PAGES, name)) expect(await output("help", ...name.split(" "))).toBe(text);
  });

  test("nitro eif: lists its commands", async () => {
    const text = await output("eif");
    for (const name of LEAVES.filter((leaf) => leaf.startsWith("eif ")))
      expect(text).toContain(`  nitro ${name} `);
    expect(await output("eif", "-h")).toBe(text);
  });

  test("nitro help: lists the commands and the pages of the manual", async () => {
    const text = await output("help");
    for (const name of ["check", "pool", "eif", "help", "version"])
      expect(text).toContain(`  nitro ${name} `);
    for (const name of Object.keys(MANUAL_PAGES)) expect(text).toContain(`  nitro help ${name} `);
  });

  test.each(Object.keys(MANUAL_PAGES))(
    "nitro help %s: prints the page, without the fences of code",
    async (name) => {
      const text = await output("help", name);
      const source = await Bun.file(`${MANUAL}/${name}.md`).text();
      expect(text).toStartWith(`# ${name}\n\n`);
      expect(text).not.toContain("```");
      expect(text.length).toBeGreaterThan(source.length / 2);
      expect(text.split("\n").filter((line) => line.length > 80 && !line.startsWith("    "))).toEqual([]);
    },
  );

  test("manual: every page has a row", async () => {
    const files = [...new Bun.Glob("*.md").scanSync(MANUAL)].map((name) => name.replace(/\.md$/, ""));
    expect(Object.keys(MANUAL_PAGES).sort()).toEqual(files.sort());
  });

  test("manual: a page about a command names its help", async () => {
    expect(await output("help", "pool")).toEndWith("\n'nitro pool -help' lists the options.\n");
  });

  test.each([
    ["memroy", "did you mean 'nitro help memory'?"],
    ["accel", "did you mean 'nitro help accelerator'?"],
    ["chek", "did you mean 'nitro help check'?"],
    ["qwertz", "nitro help lists the topics"],
    ["toString", "nitro help lists the topics"],
    ["", "nitro help lists the topics"],
  ])("nitro help %s: unknown topic", async (topic, hint) => {
    expect(await errorOf("help", topic)).toEqual([`unknown topic '${topic}'`, hint]);
  });

  test("nitro help: an unknown command of a group is reported", async () => {
    const [message, hint] = await errorOf("help", "eif", "signn");
    expect(message).toStartWith("unknown command 'eif signn' (commands: build, ");
    expect(hint).toBe("did you mean 'nitro eif sign'?");
  });
});

test("nitro version: prints one line", async () => {
  const architecture = process.arch === "arm64" ? "aarch64" : "x86_64";
  expect(await output("version")).toBe(`nitro ${version} (${architecture}, Bun ${Bun.version})\n`);
});

describe("unknown command", () => {
  const KNOWN = "(commands: check, pool, eif, help, version, licenses; to launch: nitro -kernel FILE)";
  test.each([
    ["run", "nitro -help shows the usage"],
    ["chek", "did you mean 'nitro check'?"],
    ["Pool", "did you mean 'nitro pool'?"],
    ["app.eif", "nitro -kernel app.eif"],
    ["images/app", "nitro -kernel images/app"],
    ["build", "did you mean 'nitro eif build'?"],
    ["status", "did you mean 'nitro pool status'?"],
    ["toString", "nitro -help shows the usage"],
    ["__proto__", "nitro -help shows the usage"],
    ["", "nitro -help shows the usage"],
    ["describe-eif", "to describe an image: nitro eif describe app.eif"],
    ["build-enclave", "to build an image: nitro eif build -o app.eif -kernel bzImage -initrd initrd.cpio.gz"],
    ["pcr", "to print the PCRs of an image: nitro eif pcr app.eif"],
    ["describe-enclaves", "each enclave has a nitro process: pgrep -a nitro"],
  ])("unknown command: nitro %p", async (name, hint) => {
    expect(await errorOf(name)).toEqual([`unknown command '${name}' ${KNOWN}`, hint]);
  });

  test.each([
    "run-enclave",
    "build-enclave",
    "describe-enclaves",
    "describe-eif",
    "terminate-enclave",
    "console",
    "pcr",
    "sign-eif",
    "explain",
  ])("unknown command: %s, a command of nitro-cli, names its equivalent", async (name) => {
    const [, hint] = await errorOf(name);
    expect(hint).toMatch(/nitro/);
    expect(hint).not.toContain("-help");
  });

  test("unknown command: one of nitro eif is reported with that group's commands", async () => {
    expect(await errorOf("eif", "descrbe")).toEqual([
      "unknown command 'eif descrbe' (commands: build, describe, extract, pcr, sign, verify)",
      "did you mean 'nitro eif describe'?",
    ]);
    expect(await errorOf("eif", "-json")).toEqual([
      "-json: a command comes first: nitro eif COMMAND",
      "nitro eif -help lists the commands",
    ]);
  });
});
