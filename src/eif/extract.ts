/** `eif extract`: each section into a file of its own. Names are nitro's, never the image's. */
import { lstatSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../sys/errors.ts";
import { naming } from "./file-error.ts";
import { eifCrc } from "./format/crc.ts";
import { EIF_SIGNATURE_MAX_BYTES } from "./format/layout.ts";
import { type Eif, EifError, hex32, type Section } from "./format/reader.ts";
import type { InputFile } from "./input.ts";
import { openImage, payloadOf, readImage, sectionText } from "./inspect.ts";
import { NewFile } from "./output.ts";
import { type Around, beginWork, type Work } from "./progress.ts";
import { readSignature } from "./signing/signature.ts";

/** A whole command. */
export interface ExtractOptions {
  readonly image: string;
  /** A directory, which is made if it is not there. */
  readonly directory: string;
  /** Files of these names that are there already are replaced. */
  readonly force: boolean;
}

/** A file that was made. */
export interface Extracted {
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

const FIXED_NAMES = {
  kernel: "kernel",
  cmdline: "cmdline",
  signature: "signature.cbor",
  metadata: "metadata.json",
} as const;

/** Writes all of them, or none. Throws UserError. */
export function extract(around: Around, options: ExtractOptions): Extracted[] {
  const { image, directory, force } = options;
  using file = openImage(image);
  const eif = readImage(file);
  using work = beginWork(around, basename(image));
  work.expect(file.size);
  using stack = new DisposableStack();
  const made = ownDirectory(directory);
  if (made) stack.defer(() => rmdirSync(directory));
  const files = writeSections(stack, file, eif, directory, work);
  keepAll(files, force);
  stack.move(); // Everything is where it belongs; only the temporary names go, which keepAll has seen to.
  return files.map(({ output, size }) => ({ name: basename(output.path), path: output.path, size }));
}

interface Written {
  readonly output: NewFile;
  readonly size: number;
}

function ownDirectory(directory: string): boolean {
  const what = `-o ${directory}`;
  const about = naming(what, () => statSync(directory, { throwIfNoEntry: false }));
  if (about === undefined) {
    naming(what, () => mkdirSync(directory));
    return true;
  }
  if (!about.isDirectory())
    throw new UserError(what, "it is no directory", "name a directory; it is made if need be");
  return false;
}

function writeSections(
  stack: DisposableStack,
  file: InputFile,
  eif: Eif,
  directory: string,
  work: Work,
): Written[] {
  const crc = eifCrc();
  const files: Written[] = [];
  const open = (name: string, size: number): NewFile => {
    const path = join(directory, name);
    const output = stack.use(new NewFile(path, path, work));
    files.push({ output, size });
    return output;
  };
  let at = 0;
  const until = (end: number, use?: (piece: Uint8Array) => void) => {
    file.each(at, end - at, work, (piece) => {
      crc.add(piece);
      use?.(piece);
    });
    at = end;
  };
  let ramdisks = 0;
  for (const section of eif.sections) {
    until(section.offset);
    if (section.name === "ramdisk") ramdisks += 1;
    const name = section.name === "ramdisk" ? `ramdisk-${ramdisks}` : FIXED_NAMES[section.name];
    const output = open(name, section.size);
    until(section.offset + section.size, (piece) => output.write(piece));
    const pem = section.name === "signature" ? certificateOf(file, eif, section) : undefined;
    if (pem !== undefined) open("certificate.pem", pem.length).write(pem);
  }
  until(file.size);
  if (crc.value() === eif.crc) return files;
  const why = `its CRC-32 is ${hex32(crc.value())}, the header says ${hex32(eif.crc)} at byte 544; the file is damaged`;
  throw new UserError(file.what, why, "copy it again and compare the checksums");
}

/** The certificate's PEM, where the section can be read. */
function certificateOf(file: InputFile, eif: Eif, section: Section): Uint8Array | undefined {
  try {
    const payload = payloadOf(file, section, EIF_SIGNATURE_MAX_BYTES);
    return new TextEncoder().encode(readSignature(payload, sectionText(eif, section)).certificate.pem);
  } catch (error) {
    if (error instanceof EifError) return undefined;
    throw error;
  }
}

/** Gives all files their names. Where one cannot have its name, none has. */
function keepAll(files: readonly Written[], force: boolean): void {
  using kept = new DisposableStack();
  for (const { output } of force ? files : []) {
    const there = naming(output.what, () => lstatSync(output.path, { throwIfNoEntry: false }));
    if (there?.isDirectory())
      throw new UserError(output.what, "it is a directory", "remove it, or name another directory");
  }
  for (const { output } of files) {
    if (force) output.keep();
    else {
      output.keepAsNew();
      kept.defer(() => output.remove());
    }
  }
  for (const { output } of files) output[Symbol.dispose]();
  kept.move();
}
