/** `eif build`: builds an image from a kernel, a command line and ramdisks, in AWS's order and with AWS's metadata. */
import { basename } from "node:path";
import { UserError } from "../sys/errors.ts";
import {
  type ContentFiles,
  type FileSection,
  type ImageContents,
  kernelSection,
  launchSections,
  openContents,
} from "./contents.ts";
import { EIF_MAX_SECTIONS } from "./format/layout.ts";
import type { Pcrs } from "./format/measurement.ts";
import {
  customMetadata,
  encodeMetadata,
  kernelVersion,
  MAX_CUSTOM_METADATA_BYTES,
} from "./format/metadata.ts";
import { EifError } from "./format/reader.ts";
import { type EifHeaderFields, planEif } from "./format/writer.ts";
import type { MemoryLimit } from "./initramfs/initramfs.ts";
import { fileRamdiskWarnings } from "./initramfs/ramdisks.ts";
import { identitiesOf, readSmallInput } from "./input-file.ts";
import { kernelFormat } from "./kernel/format.ts";
import { outputTarget } from "./output.ts";
import { type EifContext, startProgress } from "./progress.ts";
import type { SigningCertificate } from "./signing/certificate.ts";
import { openSigner, type SigningFiles } from "./signing/signer.ts";
import { measureContents, passesFor, writeEif } from "./write.ts";

/** What header and metadata say about an image; it is not measured. */
export interface ImageAttributes {
  readonly name: string | undefined;
  readonly version: string;
  /** The path of a file with a JSON object of the user's own. */
  readonly metadata: string | undefined;
  readonly memoryBytes: number;
  /** As typed: `-m 1G`. */
  readonly memoryTyped: string;
  readonly cpus: number;
  readonly buildTime: string;
  readonly toolVersion: string;
}

/** The arguments of `eif build`. */
export interface BuildOptions {
  readonly contents: ImageContents;
  /** undefined: exactly the image that a launch assembles. */
  readonly attributes: ImageAttributes | undefined;
  /** A path, or `-` for standard output. */
  readonly output: string;
  readonly signing: SigningFiles | undefined;
}

/** An image that was built. */
export interface BuiltImage {
  /** In bytes. */
  readonly size: number;
  readonly pcrs: Pcrs;
  /** undefined if it is not signed. */
  readonly certificate: SigningCertificate | undefined;
}

/** Builds the image. @param stdout descriptor of standard output. Throws UserError. */
export async function build(context: EifContext, options: BuildOptions, stdout: number): Promise<BuiltImage> {
  using stack = new DisposableStack();
  const { contents, output, signing } = options;
  const files = openContents(context.system, stack, contents, maxRamdisks(options));
  const target = outputTarget(context.system, `-o ${output}`, output, inputsOf(context, options, files));
  const signer = signing === undefined ? undefined : openSigner(context, signing);
  const kernel = await kernelSection(files.kernel, contents, context.report);
  const sections = sectionsOf(context, options, kernel, files);
  const fields = headerFields(options);
  const unsigned = planEif(fields, sections);
  const ramdisks = files.ramdisks.map((file) => ({ file, offset: 0, size: file.size }));
  const limit = memoryLimit(options);
  for (const line of await fileRamdiskWarnings(ramdisks, contents.commandLine, limit, unsigned.size)) {
    context.report(line);
  }
  using progress = startProgress(context, basename(output));
  progress.expect(unsigned.size * (passesFor(target) + (signer === undefined ? 0 : 1)));
  if (signer !== undefined) {
    const { pcr0 } = measureContents(sections, progress.advance);
    sections.push({ name: "signature", content: signer.sign(pcr0) });
  }
  const plan = planEif(fields, sections);
  const pcrs = writeEif(plan, target, stdout, progress);
  return { size: plan.size, pcrs, certificate: signer?.certificate };
}

/** The number of ramdisks that fit next to kernel, command line, metadata and signature. */
function maxRamdisks({ signing }: BuildOptions): number {
  return EIF_MAX_SECTIONS - 3 - (signing === undefined ? 0 : 1);
}

function inputsOf(
  { system }: EifContext,
  { attributes, signing }: BuildOptions,
  { kernel, ramdisks }: ContentFiles,
): (string | undefined)[] {
  const small = [attributes?.metadata, signing?.privateKey, signing?.certificate];
  return [...[kernel, ...ramdisks].map(({ identity }) => identity), ...identitiesOf(system, small)];
}

/** The memory that the image proposes; without a proposal the launch decides. */
function memoryLimit({ attributes }: BuildOptions): MemoryLimit {
  if (attributes === undefined) return { bytes: Number.POSITIVE_INFINITY, typed: "" };
  return { bytes: attributes.memoryBytes, typed: attributes.memoryTyped };
}

function headerFields({ contents, attributes }: BuildOptions): EifHeaderFields {
  const { memoryBytes = 0, cpus = 0 } = attributes ?? {};
  return { architecture: contents.architecture, memoryBytes, cpus };
}

function sectionsOf(
  context: EifContext,
  { contents, attributes }: BuildOptions,
  kernel: FileSection,
  { ramdisks }: ContentFiles,
): FileSection[] {
  if (attributes === undefined) return launchSections(kernel, contents.commandLine, ramdisks);
  const { metadata } = attributes;
  const encoded = encodeMetadata({
    name: attributes.name ?? basename(contents.kernel),
    version: attributes.version,
    buildTime: attributes.buildTime,
    toolVersion: attributes.toolVersion,
    kernelVersion: versionOf(kernel) ?? "Unknown version",
    custom: metadata === undefined ? undefined : readCustomMetadata(context, metadata),
  });
  return [
    kernel,
    { name: "cmdline", content: new TextEncoder().encode(contents.commandLine) },
    { name: "metadata", content: encoded },
    ...ramdisks.map((content): FileSection => ({ name: "ramdisk", content })),
  ];
}

/** The version of a bzImage; an arm64 Image does not state one. */
function versionOf({ content }: FileSection): string | undefined {
  if (content instanceof Uint8Array || kernelFormat(content.head).boots !== "x86_64") return undefined;
  return kernelVersion((into, offset) => content.read(into, offset));
}

function readCustomMetadata({ system }: EifContext, path: string): string {
  const what = `-metadata ${path}`;
  if (path.trimStart().startsWith("{")) {
    throw new UserError(what, "expects the name of a file, not JSON", "save the JSON to a file first");
  }
  try {
    return customMetadata(readSmallInput(system, what, path, MAX_CUSTOM_METADATA_BYTES));
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    throw new UserError(what, error.message, 'an example: {"team": "payments"}');
  }
}
