/**
 * An EIF that is launched as it is: checked before it is loaded, and again in memory, because the file may have been
 * replaced in between.
 */
import type { ByteSource } from "../../eif/format/bytes.ts";
import { crcMismatch, crcText, startCrc } from "../../eif/format/crc.ts";
import { EifError, type EifHeader, readEif } from "../../eif/format/reader.ts";
import type { InputFile } from "../../eif/input-file.ts";
import { KERNEL_ARCHITECTURE } from "../../sys/architecture.ts";
import { UserError } from "../../sys/errors.ts";
import type { Mapping } from "../../sys/memory.ts";
import { ReadThreads } from "../../sys/threads/read.ts";
import type { Image, ImageContext } from "./image.ts";
import type { CheckedSignature } from "./image-signature.ts";

/** Checks a whole EIF. The returned image owns the file. Throws UserError, Cancelled. */
export async function openEifImage(context: ImageContext, file: InputFile): Promise<Image> {
  const { system, progress } = context;
  const { header, signature } = await checkedEif(context, file);
  return {
    size: file.size,
    what: file.what,
    sections: header.sections,
    signature,
    load(memory, offset) {
      const crc = startCrc();
      using threads = ReadThreads.start(system, [file.fileRead(memory, offset)]);
      const use = (chunk: Uint8Array) => {
        crc.add(chunk);
        progress.advance(chunk.length);
      };
      file.load(memory, offset, use, threads);
      if (crc.value() !== header.crc) {
        throw file.changed(`its CRC-32 is ${crcText(crc.value())} now, it was ${crcText(header.crc)}`);
      }
      // Another file may have the same CRC: what was checked must be what is in memory.
      checkLoadedHeaders(file, header, memory, offset);
      if (signature !== undefined) checkLoadedSignature(file, signature, memory, offset);
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

interface CheckedEif {
  readonly header: EifHeader;
  readonly signature: CheckedSignature | undefined;
}

async function checkedEif(context: ImageContext, file: InputFile): Promise<CheckedEif> {
  const invalid = "not a valid EIF:";
  try {
    const header = readEif(file);
    if (header.architecture !== KERNEL_ARCHITECTURE) {
      throw new UserError(
        file.what,
        `the image is for ${header.architecture}, this instance is ${KERNEL_ARCHITECTURE}`,
        `use an image for ${KERNEL_ARCHITECTURE}, or an instance that is ${header.architecture}`,
      );
    }
    checkCrc(context, file, header.crc);
    return { header, signature: await checkedSignature(file, header) };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    const hint = "build the image again, or copy it again and compare the checksums";
    throw new UserError(file.what, `${invalid} ${error.message}`, hint);
  }
}

/** Reads the whole file for the first time. Throws EifError. */
function checkCrc({ progress }: ImageContext, file: InputFile, expected: number): void {
  using _bar = progress.start(file.name, file.size);
  const crc = startCrc();
  file.forEachChunk(0, file.size, progress.advance, crc.add);
  if (crc.value() !== expected) throw new EifError(crcMismatch(crc.value(), expected));
}

/** Checks whether the hypervisor will accept the signature. Throws UserError and EifError. */
async function checkedSignature(
  file: InputFile,
  { sections }: EifHeader,
): Promise<CheckedSignature | undefined> {
  const section = sections.find(({ name }) => name === "signature");
  if (section === undefined) return undefined;
  // Loaded only now: most images are not signed.
  const { checkSignatureSection } = await import("./image-signature.ts");
  return checkSignatureSection(file, sections, section, new Date());
}

/** Throws UserError if the EIF in memory has other headers than the one that was checked. */
function checkLoadedHeaders(file: InputFile, checked: EifHeader, memory: Mapping, offset: number): void {
  const loaded: ByteSource = {
    size: file.size,
    read(into, at) {
      into.set(memory.view(offset + at, into.length));
      return into.length;
    },
  };
  const text = ({ version, architecture, sections, crc }: EifHeader) =>
    JSON.stringify([version, architecture, sections, crc]);
  let now: string;
  try {
    now = text(readEif(loaded));
  } catch (error) {
    now = String(error);
  }
  if (now !== text(checked)) throw file.changed("its sections are not the ones that were checked");
}

/** Throws UserError if the signature in memory, of the same size, is not the one that was checked and gave PCR8. */
function checkLoadedSignature(
  file: InputFile,
  { bytes, offset: at }: CheckedSignature,
  memory: Mapping,
  offset: number,
): void {
  const loaded = memory.view(offset + at, bytes.length);
  if (Buffer.compare(loaded, bytes) !== 0)
    throw file.changed("its signature is not the one that was checked");
}
