/** `nitro eif build`: assemble an image from a kernel, ramdisks and a command line. */
import { version as TOOL_VERSION } from "../../../package.json" with { type: "json" };
import { type BuildOptions, type BuiltImage, build, type ImageAttributes } from "../../eif/build.ts";
import { measurementsInfo } from "../../eif/describe.ts";
import type { SigningFiles } from "../../eif/signing/signer.ts";
import { UserError } from "../../sys/errors.ts";
import { parseSize, parseUint64 } from "../numbers.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import { eifContext, JSON_ARG } from "./eif-context.ts";
import { bytesText, jsonText, pcrLines } from "./eif-report.ts";
import { imageSources, SOURCE_ARGS } from "./image-sources.ts";
import { defineSubcommand, type SubcommandCall, type SubcommandResult } from "./subcommand.ts";

/** The command. */
export const eifBuild = defineSubcommand({
  meta: {
    name: "eif build",
    description: "build an image from a kernel, ramdisks and a command line",
    usage: ["eif build -o FILE -kernel FILE [-initrd FILE] [option...]"],
    examples: [
      "eif build -o app.eif -kernel bzImage -initrd initrd.cpio.gz",
      "eif build -o app.eif -kernel bzImage -append console=ttyS0 -name app",
    ],
    details: [
      "The same inputs give the same bytes: the image contains no build time, unless SOURCE_DATE_EPOCH (seconds " +
        "since 1970) is set.",
    ],
    exitStatus: "0, or 1 if no image was built",
    page: "eif",
  },
  args: {
    o: { type: "string", valueHint: "FILE", description: "the image to write; - is standard output" },
    ...SOURCE_ARGS,
    name: {
      type: "string",
      valueHint: "NAME",
      description: "the image's name (default: the kernel's file name)",
    },
    "image-version": {
      type: "string",
      valueHint: "VERSION",
      description: "the image's version (default: 1.0)",
    },
    metadata: {
      type: "string",
      valueHint: "FILE",
      description: "a JSON object to include, at most 4,096 bytes",
    },
    m: {
      type: "string",
      valueHint: "SIZE",
      description: "the memory that the header suggests (default: 1G)",
    },
    smp: {
      type: "string",
      valueHint: "N",
      description: "the number of vCPUs that the header suggests (default: 2)",
    },
    "private-key": { type: "string", valueHint: "FILE", description: "sign the image with this key, in PEM" },
    "signing-certificate": {
      type: "string",
      valueHint: "FILE",
      description: "the key's certificate, in PEM",
    },
    "like-qemu": { type: "boolean", description: "build exactly what a launch with these options assembles" },
    json: JSON_ARG,
  },
  run,
});

/** The options that do not apply to -like-qemu, because a launch assembles an image without them. */
const NOT_LIKE_QEMU = [
  "name",
  "image-version",
  "metadata",
  "m",
  "smp",
  "private-key",
  "signing-certificate",
] as const;

/** The defaults of AWS's builder (EifBuilder::new). */
const DEFAULT_MEMORY_BYTES = 1024 ** 3;
const DEFAULT_CPUS = 2;

async function run({ context, args }: SubcommandCall): Promise<SubcommandResult> {
  const options = buildOptions(args);
  const isJson = args.has("json");
  if (options.output === "-" && isJson) {
    const hint = "use -o FILE, or run nitro eif describe -json afterwards";
    throw new UserError("-json", "standard output is used for the image", hint);
  }
  const image = await build(eifContext(context), options, context.stdout);
  if (options.output !== "-") return { output: isJson ? builtJson(image) : builtText(options, image) };
  for (const line of builtText(options, image).trimEnd().split("\n")) context.report(line);
  return { output: "" };
}

function builtJson({ pcrs, certificate }: BuiltImage): string {
  return jsonText({ Measurements: measurementsInfo(pcrs, certificate) });
}

function builtText({ output, contents }: BuildOptions, { size, pcrs, certificate }: BuiltImage): string {
  const name = output === "-" ? "standard output" : output;
  const signed = certificate === undefined ? "" : ", signed";
  return `${name}: ${bytesText(size)} for ${contents.architecture}${signed}\n${pcrLines(pcrs, certificate)}`;
}

function buildOptions(args: SubcommandArgs): BuildOptions {
  const isLikeQemu = args.has("like-qemu");
  const conflict = isLikeQemu ? NOT_LIKE_QEMU.find((name) => args.has(name)) : undefined;
  if (conflict !== undefined)
    throw new UserError(`-${conflict}`, "conflicts with -like-qemu", "leave one of them out");
  return {
    output: args.required("o", "it names the image to write", "use -o app.eif, or -o - for standard output"),
    contents: imageSources(args),
    attributes: isLikeQemu ? undefined : imageAttributes(args),
    signing: signingFiles(args),
  };
}

function imageAttributes(args: SubcommandArgs): ImageAttributes {
  const [size, cpus] = [args.last("m"), args.last("smp")];
  const memoryBytes = size === undefined ? DEFAULT_MEMORY_BYTES : parseSize(size, "M");
  if (memoryBytes === undefined)
    throw new UserError(
      `-m ${size}`,
      "expects a size: a number with k, M, G or T, in MiB without one",
      "use -m 512M",
    );
  const count = cpus === undefined ? BigInt(DEFAULT_CPUS) : parseUint64(cpus);
  if (count === undefined || count > 4096n)
    throw new UserError(`-smp ${cpus}`, "expects a number of vCPUs, at most 4096", "use -smp 2");
  return {
    name: args.last("name"),
    version: args.last("image-version") ?? "1.0",
    metadata: args.last("metadata"),
    ...{ memoryBytes, memoryTyped: `-m ${size ?? "1G (the default)"}`, cpus: Number(count) },
    buildTime: buildTime(process.env["SOURCE_DATE_EPOCH"]),
    toolVersion: TOOL_VERSION,
  };
}

/** Returns the two files of a signature; undefined if neither is given. Throws UserError for one alone. */
function signingFiles(args: SubcommandArgs): SigningFiles | undefined {
  const [privateKey, certificate] = [args.last("private-key"), args.last("signing-certificate")];
  if (privateKey === undefined && certificate === undefined) return undefined;
  if (privateKey === undefined) {
    const hint =
      "add -private-key key.pem; for a key in a KMS or HSM, build without both: nitro eif sign signs in two steps";
    throw new UserError("-private-key", "missing; -signing-certificate needs it", hint);
  }
  if (certificate === undefined) {
    const hint = "add -signing-certificate cert.pem";
    throw new UserError("-signing-certificate", "missing; -private-key needs it", hint);
  }
  return { privateKey, certificate };
}

/** The last second of the year 9999, the last year of RFC 3339. */
const MAX_SECONDS = 253_402_300_799;

/** Returns a build time as AWS's builder writes it (https://reproducible-builds.org/specs/source-date-epoch/). */
function buildTime(epoch: string | undefined): string {
  if (epoch === undefined) return "";
  const seconds = /^[0-9]{1,12}$/.test(epoch) ? Number(epoch) : Number.NaN;
  if (!(seconds <= MAX_SECONDS)) {
    const why = "expects a whole number of seconds since 1970";
    throw new UserError(`SOURCE_DATE_EPOCH=${epoch}`, why, "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)");
  }
  return new Date(seconds * 1000).toISOString().replace(".000Z", "+00:00");
}
