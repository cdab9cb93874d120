/** `eif extract`: writes each section into a file. File names are nitro's, never the image's. */
import { lstatSync, mkdirSync, rmdirSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../sys/errors.ts";
import { fileStatus } from "../sys/file-status.ts";
import type { System } from "../sys/system.ts";
import { withFileErrors } from "./file-error.ts";
import { startCrc } from "./format/crc.ts";
import { EIF_SIGNATURE_MAX_BYTES } from "./format/layout.ts";
import { EifError, type EifHeader, sectionText } from "./format/reader.ts";
import type { InputFile } from "./input-file.ts";
import { openEif, payloadOf, readHeaders, requireCrc, visitEif } from "./inspect.ts";
import { AtomicFile } from "./output.ts";
import { type EifContext, type EifProgress, startProgress } from "./progress.ts";
import { readSignatureSection } from "./signing/signature.ts";

/** The arguments of `eif extract`. */
export interface ExtractOptions {
  readonly image: string;
  /** Created if it does not exist. */
  readonly directory: string;
  /** Replaces existing files of the same names. */
  readonly force: boolean;
}

/** A file that was written. */
export interface ExtractedFile {
  readonly name: string;
  readonly path: string;
  /** In bytes. */
  readonly size: number;
}

const FIXED_NAMES = {
  kernel: "kernel",
  cmdline: "cmdline",
  signature: "signature.cbor",
  metadata: "metadata.json",
} as const;

/** Writes all sections, or none. Throws UserError. */
export function extract(context: EifContext, { image, directory, force }: ExtractOptions): ExtractedFile[] {
  using file = openEif(context.system, image);
  const header = readHeaders(file);
  using progress = startProgress(context, basename(image));
  progress.expect(file.size);
  using stack = new DisposableStack();
  progress.catchSignals();
  if (createDirectory(context.system, directory)) stack.defer(() => rmdirSync(directory));
  const pem = certificatePem(context, file, header);
  const files = writeSections(stack, { file, header, pem }, directory, progress);
  renameAll(files, force);
  stack.move(); // The directory stays; renameAll has disposed of the files.
  return files.map(({ output: { path }, size }) => ({ name: basename(path), path, size }));
}

interface SectionFile {
  readonly output: AtomicFile;
  readonly size: number;
}

/** Returns whether the directory was created. */
function createDirectory(system: System, directory: string): boolean {
  const what = `-o ${directory}`;
  const status = fileStatus(system, directory);
  if (status === undefined) {
    withFileErrors(what, () => mkdirSync(directory));
    return true;
  }
  if (!status.isDirectory)
    throw new UserError(what, "not a directory", "name a directory; it need not exist yet");
  return false;
}

/** An image whose headers were read. */
interface OpenedImage {
  readonly file: InputFile;
  readonly header: EifHeader;
  /** The certificate's PEM; undefined if there is none that can be read. */
  readonly pem: Uint8Array | undefined;
}

function writeSections(
  stack: DisposableStack,
  { file, header, pem }: OpenedImage,
  directory: string,
  progress: EifProgress,
): SectionFile[] {
  const crc = startCrc();
  const files: SectionFile[] = [];
  const create = (name: string, size: number): AtomicFile => {
    const path = join(directory, name);
    const output = stack.use(new AtomicFile({ what: path, path, previous: undefined }, progress));
    files.push({ output, size });
    return output;
  };
  let ramdisks = 0;
  let output: AtomicFile | undefined;
  visitEif(file, header.sections, progress.advance, {
    startSection(section) {
      if (section.name === "ramdisk") ramdisks += 1;
      const name = section.name === "ramdisk" ? `ramdisk-${ramdisks}` : FIXED_NAMES[section.name];
      output = create(name, section.size);
      if (section.name === "signature" && pem !== undefined) create("certificate.pem", pem.length).write(pem);
    },
    chunk(bytes, section) {
      crc.add(bytes);
      if (section !== undefined) output?.write(bytes);
    },
  });
  requireCrc(file, { crc: crc.value(), header });
  return files;
}

/** Returns the certificate's PEM. Reports a warning if the signature section cannot be read. */
function certificatePem(
  { report }: EifContext,
  file: InputFile,
  { sections }: EifHeader,
): Uint8Array | undefined {
  const section = sections.find(({ name }) => name === "signature");
  if (section === undefined) return undefined;
  try {
    const payload = payloadOf(file, section, EIF_SIGNATURE_MAX_BYTES);
    const { certificate } = readSignatureSection(payload, sectionText(sections, section));
    return new TextEncoder().encode(certificate.pem);
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    report(`warning: ${file.what}: certificate.pem is not written: ${error.message}`);
    return undefined;
  }
}

/** Gives all files their names, or none of them. */
function renameAll(files: readonly SectionFile[], force: boolean): void {
  using renamed = new DisposableStack();
  for (const { output } of force ? files : []) {
    const existing = withFileErrors(output.what, () => lstatSync(output.path, { throwIfNoEntry: false }));
    if (existing?.isDirectory()) {
      throw new UserError(output.what, "it is a directory", "remove it, or name another directory with -o");
    }
  }
  for (const { output } of files) {
    if (force) output.rename();
    else {
      output.renameIfNew();
      renamed.defer(() => output.remove());
    }
  }
  for (const { output } of files) output[Symbol.dispose]();
  renamed.move();
}
