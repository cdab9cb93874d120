/** `eif build`: an image of a kernel, a command line and ramdisks, in AWS's order and with AWS's metadata. */
import { basename } from "node:path";
import { UserError } from "../sys/errors.ts";
import {
  type Assembled,
  assemble,
  CRC_OFFSET,
  crcBytes,
  type ImageDefaults,
  measureParts,
  type Part,
  sizeOfImage,
  writeImage,
} from "./assembly.ts";
import type { Architecture } from "./format/layout.ts";
import { EIF_MAX_SECTIONS } from "./format/layout.ts";
import { customMetadata, encodeMetadata, kernelVersion, MOST_CUSTOM_BYTES } from "./format/metadata.ts";
import { EifError } from "./format/reader.ts";
import type { Room } from "./initramfs/initramfs.ts";
import { ramdiskWarnings } from "./initramfs/ramdisks.ts";
import { type FileIdentity, InputFile, identitiesOf, readSmall } from "./input.ts";
import {
  KERNEL_HEAD_BYTES,
  KernelError,
  kernelComplaint,
  kernelForm,
  kernelFormat,
} from "./kernel/format.ts";
import { NewFile, openStream, type Target, targetOf } from "./output.ts";
import { type Around, beginWork, type Work } from "./progress.ts";
import { openSigner, type Signer, type SigningFiles } from "./signing/signer.ts";

/** What decides what an image measures; the words are a launch's own. */
export interface Contents {
  readonly kernel: string;
  readonly initrd: string | undefined;
  /** Further ramdisks, in order, each with how messages name it. */
  readonly ramdisks: readonly { readonly path: string; readonly typed: string }[];
  readonly commandLine: string;
  readonly architecture: Architecture;
  /** Whatever the kernel is, it goes in. */
  readonly anyKernel: boolean;
}

/** What is said of an image beside its contents. */
export interface Description {
  readonly name: string | undefined;
  readonly version: string;
  /** A file with a JSON object of the user's own. */
  readonly metadata: string | undefined;
  readonly memoryBytes: number;
  /** As it was typed: `-m 1G`. */
  readonly memoryTyped: string;
  readonly cpus: number;
  readonly buildTime: string;
  readonly toolVersion: string;
}

/** A whole command. */
export interface BuildOptions {
  readonly contents: Contents;
  /** Undefined for exactly what a launch assembles. */
  readonly description: Description | undefined;
  /** A path, or `-`. */
  readonly output: string;
  readonly signing: SigningFiles | undefined;
}

/** What was built. */
export interface Built extends Assembled {
  readonly certificate: Signer["certificate"] | undefined;
}

/** Builds the image. @param stdout the descriptor of standard output. Throws UserError. */
export async function build(around: Around, options: BuildOptions, stdout: number): Promise<Built> {
  using stack = new DisposableStack();
  const files = openContents(stack, options.contents);
  const target = targetOf(`-o ${options.output}`, options.output, inputsOf(options, files));
  const signer = options.signing === undefined ? undefined : openSigner(around, options.signing);
  const kernel = await kernelPart(around, files.kernel, options.contents);
  const parts = partsOf(options, kernel, files);
  const imageBytes = sizeOfImage(parts);
  const ramdisks = files.ramdisks.map((file) => ({ file, offset: 0, size: file.size }));
  const { commandLine } = options.contents;
  for (const line of await ramdiskWarnings(ramdisks, commandLine, roomOf(options), imageBytes))
    around.report(line);
  using work = beginWork(around, basename(options.output));
  work.expect(imageBytes * passes(target, signer));
  if (signer !== undefined) {
    const { pcr0 } = measureParts(parts, work);
    parts.push({ name: "signature", content: signer.sign(pcr0) });
  }
  const built = write(target, stdout, defaultsOf(options), parts, work);
  return { ...built, certificate: signer?.certificate };
}

/** What the image proposes; a launch decides on its own where nothing is proposed. */
function roomOf({ description }: BuildOptions): Room {
  if (description === undefined) return { bytes: Number.POSITIVE_INFINITY, typed: "" };
  return { bytes: description.memoryBytes, typed: description.memoryTyped };
}

function inputsOf({ description, signing }: BuildOptions, files: ContentFiles): FileIdentity[] {
  const small = [description?.metadata, signing?.privateKey, signing?.certificate];
  return [...[files.kernel, ...files.ramdisks].map(({ identity }) => identity), ...identitiesOf(small)];
}

/** How often all bytes are read: once to sign, and once more where the CRC cannot be put in afterwards. */
function passes(target: Target, signer: Signer | undefined): number {
  return 1 + (signer === undefined ? 0 : 1) + (target.kind === "stream" ? 1 : 0);
}

function defaultsOf({ contents, description }: BuildOptions): ImageDefaults {
  const { memoryBytes = 0, cpus = 0 } = description ?? {};
  return { architecture: contents.architecture, memoryBytes, cpus };
}

function write(
  target: Target,
  stdout: number,
  defaults: ImageDefaults,
  parts: readonly Part[],
  work: Work,
): Assembled {
  if (target.kind === "stream") return writeStream(target, stdout, defaults, parts, work);
  using file = new NewFile(target.what, target.path, work, target.before);
  const built = assemble(defaults, parts, work, file);
  file.writeAt(crcBytes(built.crc), CRC_OFFSET);
  file.keep();
  return built;
}

/** What cannot be gone back in needs its CRC first: everything is read once for that alone. */
function writeStream(
  target: Target & { readonly kind: "stream" },
  stdout: number,
  defaults: ImageDefaults,
  parts: readonly Part[],
  work: Work,
): Assembled {
  const planned = assemble(defaults, parts, work, { write() {} });
  using stream = openStream(target, stdout);
  const written = writeImage(defaults, parts, work, stream, planned.crc);
  if (written.crc === planned.crc) return planned;
  const why = "an input changed while it was being read; what was written is no good image";
  throw new UserError(target.what, why, "try again when the files are whole");
}

/** The files of an image, open. */
export interface ContentFiles {
  readonly kernel: InputFile;
  readonly ramdisks: readonly InputFile[];
}

/** Opens them; they are closed with `stack`. Throws UserError. */
export function openContents(stack: DisposableStack, contents: Contents): ContentFiles {
  const kernel = stack.use(new InputFile(`-kernel ${contents.kernel}`, contents.kernel));
  if (kernel.size === 0)
    throw new UserError(kernel.what, "the file is empty", `look at it: ls -l ${contents.kernel}`);
  const named = contents.ramdisks.map(({ path, typed }) => ({ what: typed, path }));
  if (contents.initrd !== undefined)
    named.unshift({ what: `-initrd ${contents.initrd}`, path: contents.initrd });
  const ramdisks = named.map(({ what, path }) => stack.use(new InputFile(what, path)));
  const empty = ramdisks.find(({ size }) => size === 0);
  if (empty !== undefined)
    throw new UserError(empty.what, "the file is empty", `look at it: ls -l ${empty.path}`);
  return { kernel, ramdisks };
}

/** The kernel as it goes in: the file as it is, or what is unpacked from it. Throws UserError. */
export async function kernelPart(around: Around, file: InputFile, contents: Contents): Promise<Part> {
  const { architecture, anyKernel } = contents;
  const bytes = new Uint8Array(KERNEL_HEAD_BYTES);
  const head = bytes.subarray(0, file.read(bytes, 0));
  if (anyKernel) {
    const format = kernelFormat(head);
    if (format.boots !== architecture) {
      around.report(`warning: ${file.what}: ${kernelComplaint(format, architecture)}`);
    }
    return { name: "kernel", content: file };
  }
  try {
    const form = kernelForm(head, architecture, file.path);
    if (form === "flat") return { name: "kernel", content: file };
    const { unpackKernel } = await import("./kernel/unpack.ts");
    return { name: "kernel", content: unpackKernel(file, form, file.path) };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new UserError(file.what, error.why, error.hint ?? "-M nitro,any-kernel=on takes it all the same");
  }
}

/** What a launch assembles of the same words. */
export function launchParts(contents: Contents, kernel: Part, ramdisks: readonly InputFile[]): Part[] {
  const text = new TextEncoder();
  const disks: Part[] = ramdisks.map((content) => ({ name: "ramdisk", content }));
  if (disks.length === 0) disks.push({ name: "ramdisk", content: new Uint8Array(0) });
  const cmdline: Part = { name: "cmdline", content: text.encode(contents.commandLine) };
  return limited([kernel, cmdline, ...disks, { name: "metadata", content: text.encode("{}") }], 0);
}

function partsOf(options: BuildOptions, kernel: Part, files: ContentFiles): Part[] {
  const { contents, description, signing } = options;
  if (description === undefined) return launchParts(contents, kernel, files.ramdisks);
  const custom = description.metadata === undefined ? undefined : ownMetadata(description.metadata);
  const metadata = encodeMetadata({
    name: description.name ?? basename(contents.kernel),
    version: description.version,
    buildTime: description.buildTime,
    toolVersion: description.toolVersion,
    kernelVersion: versionOf(kernel) ?? "Unknown version",
    custom,
  });
  const disks: Part[] = files.ramdisks.map((content) => ({ name: "ramdisk", content }));
  const cmdline: Part = { name: "cmdline", content: new TextEncoder().encode(contents.commandLine) };
  const parts = [kernel, cmdline, { name: "metadata", content: metadata } as const, ...disks];
  return limited(parts, signing === undefined ? 0 : 1);
}

function limited(parts: Part[], more: number): Part[] {
  const ramdisks = parts.filter(({ name }) => name === "ramdisk").length;
  const room = EIF_MAX_SECTIONS - (parts.length - ramdisks) - more;
  if (ramdisks <= room) return parts;
  throw new UserError(
    "-M nitro,ramdisk=",
    `${ramdisks} ramdisks, the image has room for ${room}`,
    "join some of them: cat A B > C; the kernel joins them as well",
  );
}

function versionOf({ content }: Part): string | undefined {
  if (content instanceof Uint8Array) return undefined;
  const head = new Uint8Array(0x210);
  content.read(head, 0);
  return kernelFormat(head).boots === "x86_64"
    ? kernelVersion((into, offset) => content.read(into, offset))
    : undefined;
}

function ownMetadata(path: string): string {
  const what = `-metadata ${path}`;
  if (path.trimStart().startsWith("{")) {
    throw new UserError(
      what,
      "it is JSON, and should be the name of a file with it",
      "save it to a file first",
    );
  }
  try {
    return customMetadata(readSmall(what, path, MOST_CUSTOM_BYTES));
  } catch (error) {
    throw error instanceof EifError
      ? new UserError(what, error.message, 'echo \'{"key": "value"}\' is one')
      : error;
  }
}
