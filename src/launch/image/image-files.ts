/**
 * The image of a launch: files that are opened, sized and recognised before the host is asked for anything, and read
 * straight into the enclave's memory afterwards. The image is never held a second time.
 */
import { eifCrc } from "../../eif/format/crc.ts";
import { type Architecture, eifHeader } from "../../eif/format/layout.ts";
import { type EifPlan, type FileName, MOST_RAMDISKS, planEif } from "../../eif/format/plan.ts";
import {
  checkCrc,
  type Eif,
  EifError,
  hex32,
  type ImageBytes,
  isEif,
  readEif,
  type Section,
} from "../../eif/format/reader.ts";
import { KernelError, kernelComplaint, kernelForm, kernelFormat } from "../../eif/kernel/format.ts";
import { UserError } from "../../sys/errors.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { type FileRead, ReadThreads } from "../../sys/threads/read.ts";
import type { LaunchOptions } from "../options.ts";
import type { SignedBy } from "./image-signature.ts";
import { type InputFile, openRegular, type Payload, type Surroundings } from "./input-file.ts";

/** This program's architecture, which is the parent's. */
export const ARCHITECTURE: Architecture = process.arch === "arm64" ? "aarch64" : "x86_64";

/** An image that is known to be loadable. */
export interface Image extends Disposable {
  /** Bytes of the whole EIF. */
  readonly size: number;
  /** As messages name it: `-kernel app.eif`. */
  readonly what: string;
  /** Its sections in the order of the file. */
  readonly sections: readonly Section[];
  /** undefined for one that is not signed. */
  readonly signature: SignedBy | undefined;
  /** Writes the EIF into the mapping from `offset` on. Throws UserError when a file has changed since it was opened. */
  load(memory: Mapping, offset: number): void;
}

/**
 * Opens what -kernel, -initrd and ramdisk= name; an EIF is checked to its last byte, a compressed kernel unpacked.
 * Throws UserError and SyscallError.
 */
export async function openImage(around: Surroundings, options: LaunchOptions): Promise<Image> {
  using stack = new DisposableStack();
  const file = stack.use(openRegular(around, options.kernel.typed, options.kernel.value));
  if (isEif(file.head)) {
    refuseBesideEif(options);
    const image = await checkedEif(around, file);
    stack.move();
    return image;
  }
  const kernel = await kernelOf(around, file, options);
  const ramdisks = ramdiskFiles(around, options).map((ramdisk) => stack.use(ramdisk));
  const image = assembled(around.system, kernel, ramdisks, options, stack.move());
  return image;
}

function refuseBesideEif({ kernel, initrd, ramdisks, commandLine }: LaunchOptions): void {
  const beside = initrd !== undefined ? initrd.typed : (ramdisks[0]?.typed ?? commandLine?.typed);
  if (beside === undefined) return;
  throw new UserError(
    beside,
    `${kernel.typed} is an EIF, which has its own ramdisks and command line`,
    `leave out ${beside}, or give the plain kernel with -kernel`,
  );
}

/** The files of the ramdisks, -initrd's first. Throws UserError. */
function ramdiskFiles(around: Surroundings, { initrd, ramdisks }: LaunchOptions): InputFile[] {
  const extra = ramdisks[MOST_RAMDISKS - (initrd === undefined ? 0 : 1)];
  if (extra !== undefined) {
    throw new UserError(
      extra.typed,
      `an image has room for ${MOST_RAMDISKS} ramdisks`,
      "join some of them: cat A B > C; the kernel joins them as well",
    );
  }
  const files: InputFile[] = [];
  if (initrd !== undefined) files.push(openRegular(around, initrd.typed, initrd.value));
  for (const { value, typed } of ramdisks) files.push(openRegular(around, typed, value));
  return files;
}

const NOT_STARTING = "not an EIF that could start:";

async function checkedEif(around: Surroundings, file: InputFile): Promise<Image> {
  try {
    const eif = readEif(file);
    if (eif.architecture !== ARCHITECTURE) {
      throw new UserError(
        file.what,
        `${NOT_STARTING} it is an image for ${eif.architecture}, this machine is ${ARCHITECTURE}`,
        `build one with a kernel and ramdisks for ${ARCHITECTURE}, or launch it on the other kind of instance`,
      );
    }
    checkWhole(around, file, eif.crc);
    const signature = await signatureOf(file, eif);
    return {
      size: file.size,
      what: file.what,
      sections: eif.sections,
      signature,
      load(memory, offset) {
        const crc = eifCrc();
        using threads = ReadThreads.start(around.system, [file.reading(memory, offset)]);
        file.load(memory, offset, (bytes) => crc.add(bytes), threads);
        if (crc.value() !== eif.crc)
          throw file.changed(`its CRC-32 is ${hex32(crc.value())}, it was ${hex32(eif.crc)}`);
        // A CRC can be made to fit: what was checked, and what is measured, has to be what is in memory now.
        checkLoaded(file, eif, memory, offset);
        if (signature !== undefined) checkSigner(file, signature, memory, offset);
      },
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    throw new UserError(
      file.what,
      `${NOT_STARTING} ${error.message}`,
      "build the image again, or copy it again and compare the checksums",
    );
  }
}

/** Takes the CRC of the whole file, which is the first time that it is read. Throws EifError. */
function checkWhole({ progress }: Surroundings, file: InputFile, crc: number): void {
  using _bar = progress.start(file.name, file.size);
  checkCrc(file, crc, progress.advance);
}

/** Throws UserError where the EIF in memory has other sections than the one that was checked. */
function checkLoaded(file: InputFile, eif: Eif, memory: Mapping, offset: number): void {
  const loaded: ImageBytes = {
    size: file.size,
    read(into, at) {
      into.set(memory.view(offset + at, into.length));
      return into.length;
    },
  };
  const text = ({ version, architecture, sections, crc }: Eif) =>
    JSON.stringify([version, architecture, sections, crc]);
  let now: string;
  try {
    now = text(readEif(loaded));
  } catch (error) {
    now = String(error);
  }
  if (now !== text(eif)) throw file.changed("its sections are others");
}

/** Throws UserError where the signature in memory, of the same size, is not the one that was checked and gave PCR8. */
function checkSigner(file: InputFile, { checked }: SignedBy, memory: Mapping, offset: number): void {
  const loaded = memory.view(offset + checked.offset, checked.bytes.length);
  if (Buffer.compare(loaded, checked.bytes) !== 0) throw file.changed("its signature is another");
}

/** Who signed an image, having seen that the hypervisor will accept it. Throws UserError and EifError. */
async function signatureOf(file: InputFile, { sections }: Eif): Promise<SignedBy | undefined> {
  const index = sections.findIndex(({ name }) => name === "signature");
  const section = sections[index];
  if (section === undefined) return undefined;
  // Loaded only now: most images are not signed.
  const { checkSignature } = await import("./image-signature.ts");
  return checkSignature(file, index, section, new Date());
}

/** What goes in as the kernel: the file as it is, or what is unpacked from it. Throws UserError. */
async function kernelOf(around: Surroundings, file: InputFile, options: LaunchOptions): Promise<Payload> {
  if (options.anyKernel) {
    const format = kernelFormat(file.head);
    if (format.boots !== ARCHITECTURE) {
      around.report(`warning: ${file.what}: ${kernelComplaint(format, ARCHITECTURE)}`);
    }
    return file;
  }
  try {
    const form = kernelForm(file.head, ARCHITECTURE, file.path);
    if (form === "flat") return file;
    // Loaded only now: most kernels are flat.
    const { unpackKernel } = await import("../../eif/kernel/unpack.ts");
    return heldPayload(unpackKernel(file, form, file.path));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new UserError(
      file.what,
      error.why,
      error.hint ?? "-M nitro,any-kernel=on launches it all the same",
    );
  }
}

function heldPayload(bytes: Uint8Array): Payload {
  return {
    size: bytes.length,
    load(memory, offset, add) {
      const place = memory.view(offset, bytes.length);
      place.set(bytes);
      add(place);
    },
  };
}

function assembled(
  system: System,
  kernel: Payload,
  ramdisks: readonly Payload[],
  options: LaunchOptions,
  owned: DisposableStack,
): Image {
  const plan = planEif({
    architecture: ARCHITECTURE,
    kernelSize: kernel.size,
    ramdiskSizes: ramdisks.map(({ size }) => size),
    commandLine: options.commandLine?.value ?? "",
  });
  const payload = (name: FileName) => (name === "kernel" ? kernel : ramdisks[name]);
  return {
    size: plan.size,
    what: options.kernel.typed,
    sections: plan.sections,
    signature: undefined,
    load: (memory, offset) => loadPlan(system, plan, payload, memory, offset),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function loadPlan(
  system: System,
  plan: EifPlan,
  payload: (name: FileName) => Payload | undefined,
  memory: Mapping,
  offset: number,
): void {
  const crc = eifCrc();
  const readings: FileRead[] = [];
  for (const piece of plan.pieces) {
    const reading =
      "file" in piece ? payload(piece.file)?.reading?.(memory, offset + piece.offset) : undefined;
    if (reading !== undefined) readings.push(reading);
  }
  using threads = ReadThreads.start(system, readings);
  for (const piece of plan.pieces) {
    if ("bytes" in piece) {
      const place = memory.view(offset + piece.offset, piece.bytes.length);
      place.set(piece.bytes);
      crc.add(place);
    } else {
      payload(piece.file)?.load(memory, offset + piece.offset, (bytes) => crc.add(bytes), threads);
    }
  }
  const field = memory.view(offset + eifHeader.offsets.eif_crc32, 4);
  new DataView(field.buffer, field.byteOffset, 4).setUint32(0, crc.value());
}
