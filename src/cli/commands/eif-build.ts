/** `nitro eif build`: its words, and what it prints. */
import type { ArgsDef } from "citty";
import { version as TOOL_VERSION } from "../../../package.json" with { type: "json" };
import { type BuildOptions, type Built, build, type Description } from "../../eif/build.ts";
import { measurements } from "../../eif/describe.ts";
import type { SigningFiles } from "../../eif/signing/signer.ts";
import { UserError } from "../../sys/errors.ts";
import { parseSize, parseUint64 } from "../numbers.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import type { Printed } from "./command.ts";
import type { EifSurroundings } from "./eif.ts";
import { eifCommand, forPrograms } from "./eif-arguments.ts";
import {
  CONTENT_ARGUMENTS,
  CONTENT_REPEATABLE,
  lastOf,
  needed,
  positionals,
  readContents,
} from "./eif-contents.ts";
import { bytesText, jsonText, pcrLines } from "./eif-text.ts";

const TABLE = {
  o: { type: "string", valueHint: "FILE", description: "the image to be made; - is standard output" },
  ...CONTENT_ARGUMENTS,
  name: { type: "string", valueHint: "NAME", description: "the image's name (default: the kernel file's)" },
  "image-version": {
    type: "string",
    valueHint: "VERSION",
    description: "the image's version (default: 1.0)",
  },
  metadata: {
    type: "string",
    valueHint: "FILE",
    description: "a JSON object of your own, at most 4,096 bytes",
  },
  m: { type: "string", valueHint: "SIZE", description: "the memory that the header proposes (default: 1G)" },
  smp: { type: "string", valueHint: "N", description: "the vCPUs that the header proposes (default: 2)" },
  "private-key": {
    type: "string",
    valueHint: "FILE",
    description: "signs the image at once: the key, in PEM",
  },
  "signing-certificate": { type: "string", valueHint: "FILE", description: "and its certificate, in PEM" },
  "like-qemu": { type: "boolean", description: "exactly what a launch assembles of the same words" },
} as const satisfies ArgsDef;

/** What -like-qemu leaves no room for. */
const DESCRIBING = [
  "name",
  "image-version",
  "metadata",
  "m",
  "smp",
  "private-key",
  "signing-certificate",
] as const;

/** AWS's builder's defaults (EifBuilder::new). */
const DEFAULT_MEMORY_BYTES = 1024 ** 3;
const DEFAULT_CPUS = 2;

/** The command. */
export const eifBuild = eifCommand({
  name: "build",
  description: "makes an enclave image of a kernel, ramdisks and a command line",
  usage: "-o FILE -kernel FILE [-initrd FILE] [-append TEXT] [option...]",
  table: TABLE,
  repeatable: CONTENT_REPEATABLE,
  more:
    "\nThe same files and words give the same bytes: no time of day is in an image, unless SOURCE_DATE_EPOCH\n" +
    "(seconds since 1970) gives one.\n",
  run: runBuild,
});

async function runBuild(around: EifSurroundings, words: SubcommandArgs): Promise<Printed> {
  const options = buildOptions(words);
  if (options.output === "-" && forPrograms(words)) {
    throw new UserError(
      "-json",
      "standard output carries the image",
      "-o FILE, or nitro eif describe -json later",
    );
  }
  const built = await build(around, options, around.stdout);
  if (options.output !== "-")
    return { print: forPrograms(words) ? builtJson(built) : builtText(options, built) };
  for (const line of builtText(options, built).trimEnd().split("\n")) around.report(line);
  return { print: "" };
}

function builtJson({ measurement, certificate }: Built): string {
  return jsonText({ Measurements: measurements(measurement, certificate) });
}

function builtText({ output, contents }: BuildOptions, { size, measurement, certificate }: Built): string {
  const name = output === "-" ? "standard output" : output;
  const signed = certificate === undefined ? "" : ", signed";
  return `${name}: ${bytesText(size)} for ${contents.architecture}${signed}\n${pcrLines(measurement, certificate)}`;
}

function buildOptions(words: SubcommandArgs): BuildOptions {
  positionals(words, 0, "-o FILE names the image to be made, -kernel and -initrd what goes in");
  const likeQemu = words.values.has("like-qemu");
  const beside = likeQemu ? DESCRIBING.find((name) => words.values.has(name)) : undefined;
  if (beside !== undefined) {
    throw new UserError(`-${beside}`, "what a launch assembles has none of it", "leave out -like-qemu");
  }
  return {
    output: needed(words, "o", "the image goes into a file", "-o app.eif, or -o - for standard output"),
    contents: readContents(words),
    description: likeQemu ? undefined : readDescription(words),
    signing: readSigning(words),
  };
}

function readDescription(words: SubcommandArgs): Description {
  const [size, cpus] = [lastOf(words, "m"), lastOf(words, "smp")];
  const memoryBytes = size === undefined ? DEFAULT_MEMORY_BYTES : parseSize(size, "M");
  if (memoryBytes === undefined)
    throw new UserError(`-m ${size}`, "no size", "a number with k, M, G or T: -m 512M");
  const count = cpus === undefined ? BigInt(DEFAULT_CPUS) : parseUint64(cpus);
  if (count === undefined || count > 4096n)
    throw new UserError(`-smp ${cpus}`, "no number of vCPUs", "-smp 2");
  return {
    name: lastOf(words, "name"),
    version: lastOf(words, "image-version") ?? "1.0",
    metadata: lastOf(words, "metadata"),
    ...{ memoryBytes, memoryTyped: `-m ${size ?? "1G (the default)"}`, cpus: Number(count) },
    buildTime: buildTime(process.env["SOURCE_DATE_EPOCH"]),
    toolVersion: TOOL_VERSION,
  };
}

/** The two files of a signature, or neither. Throws UserError for one alone. */
function readSigning(words: SubcommandArgs): SigningFiles | undefined {
  const [privateKey, certificate] = [lastOf(words, "private-key"), lastOf(words, "signing-certificate")];
  if (privateKey === undefined && certificate === undefined) return undefined;
  if (privateKey === undefined) {
    throw new UserError(
      "-private-key",
      "missing beside -signing-certificate",
      "-private-key key.pem; for a key in a KMS or HSM, build without both: nitro eif sign signs in two steps",
    );
  }
  if (certificate === undefined) {
    throw new UserError(
      "-signing-certificate",
      "missing beside -private-key",
      "-signing-certificate cert.pem",
    );
  }
  return { privateKey, certificate };
}

/** The last second of the year 9999: RFC 3339 goes no further. */
const MOST_SECONDS = 253_402_300_799;

/** A build's time by https://reproducible-builds.org/specs/source-date-epoch/, as AWS's builder writes times. */
function buildTime(seconds: string | undefined): string {
  if (seconds === undefined) return "";
  const since = /^[0-9]{1,12}$/.test(seconds) ? Number(seconds) : Number.NaN;
  if (!(since <= MOST_SECONDS)) {
    const why = "it is a whole number of seconds since 1970";
    throw new UserError(`SOURCE_DATE_EPOCH=${seconds}`, why, "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)");
  }
  return new Date(since * 1000).toISOString().replace(".000Z", "+00:00");
}
