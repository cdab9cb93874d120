/**
 * The files that an image is made of, the same for a launch, `eif build` and `eif pcr`: the kernel, unpacked if need
 * be, and the ramdisks.
 */
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import type { Architecture } from "./format/layout.ts";
import { MAX_RAMDISKS, type SectionContent } from "./format/writer.ts";
import { type Advance, type InputFile, openInput } from "./input-file.ts";
import { KernelError, kernelForm, kernelFormat, unbootable } from "./kernel/format.ts";

/** A file with how messages name it: `-initrd initrd.img`. */
export interface NamedPath {
  readonly typed: string;
  readonly path: string;
}

/** What determines an image's PCRs; the options are the same as a launch's. */
export interface ImageContents {
  readonly kernel: string;
  readonly initrd: string | undefined;
  /** Further ramdisks, in order. */
  readonly ramdisks: readonly NamedPath[];
  readonly commandLine: string;
  readonly architecture: Architecture;
  /** Accepts a kernel of any format. */
  readonly anyKernel: boolean;
}

/** A section whose payload is bytes or an input file. */
export type FileSection = SectionContent<InputFile>;

/** Opens ramdisks; they are closed with `stack`. Throws UserError. @param limit how many fit into the image. */
export function openRamdisks(
  system: System,
  stack: DisposableStack,
  paths: readonly NamedPath[],
  limit = MAX_RAMDISKS,
): InputFile[] {
  const extra = paths[limit];
  if (extra !== undefined) {
    throw new UserError(
      extra.typed,
      `${paths.length} ramdisks are given, but an image holds at most ${limit}`,
      "concatenate some of them (cat A B > C); the kernel unpacks all of them into one initramfs anyway",
    );
  }
  return paths.map(({ typed, path }) => stack.use(openInput(system, typed, path)));
}

/** The open files of an image. */
export interface ContentFiles {
  readonly kernel: InputFile;
  readonly ramdisks: readonly InputFile[];
}

/** Opens an image's files; they are closed with `stack`. Throws UserError. @param limit how many ramdisks fit. */
export function openContents(
  system: System,
  stack: DisposableStack,
  { kernel, initrd, ramdisks }: ImageContents,
  limit?: number,
): ContentFiles {
  const file = stack.use(openInput(system, `-kernel ${kernel}`, kernel));
  const first = initrd === undefined ? [] : [{ typed: `-initrd ${initrd}`, path: initrd }];
  return { kernel: file, ramdisks: openRamdisks(system, stack, [...first, ...ramdisks], limit) };
}

/**
 * Returns the kernel section: the file as it is, or what is compressed in it.
 * @param report prints a warning about a kernel that any-kernel=on accepts. Throws UserError.
 */
export async function kernelSection(
  file: InputFile,
  { architecture, anyKernel }: Pick<ImageContents, "architecture" | "anyKernel">,
  report: (line: string) => void,
): Promise<FileSection> {
  if (anyKernel) {
    const format = kernelFormat(file.head);
    if (format.boots !== architecture) report(`warning: ${file.what}: ${unbootable(format, architecture)}`);
    return { name: "kernel", content: file };
  }
  try {
    const form = kernelForm(file.head, architecture, file.path);
    if (form === "flat") return { name: "kernel", content: file };
    // Loaded only now: most kernels are flat.
    const { unpackKernel } = await import("./kernel/unpack.ts");
    return { name: "kernel", content: unpackKernel(file, form, file.path) };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new UserError(file.what, error.why, error.hint ?? "-M nitro,any-kernel=on accepts it anyway");
  }
}

/**
 * Returns the sections of the image that QEMU 11.1 assembles at a launch: kernel, cmdline, ramdisks, metadata `{}`.
 * Without a ramdisk there is an empty one.
 */
export function launchSections(
  kernel: FileSection,
  commandLine: string,
  ramdisks: readonly InputFile[],
): FileSection[] {
  const text = new TextEncoder();
  const disks = ramdisks.length === 0 ? [new Uint8Array(0)] : ramdisks;
  return [
    kernel,
    { name: "cmdline", content: text.encode(commandLine) },
    ...disks.map((content): FileSection => ({ name: "ramdisk", content })),
    { name: "metadata", content: text.encode("{}") },
  ];
}

/** Passes a payload to `use` in chunks. Throws UserError. */
export function forEachChunkOf(
  content: Uint8Array | InputFile,
  advance: Advance,
  use: (chunk: Uint8Array) => void,
): void {
  if (content instanceof Uint8Array) use(content);
  else content.forEachChunk(0, content.size, advance, use);
}
