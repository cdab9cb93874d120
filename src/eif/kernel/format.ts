/**
 * Tells what a file is by its first bytes, and whether it is a kernel that an enclave can start. Sources:
 * Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst, drivers/firmware/efi/libstub/zboot-header.S,
 * and for all else the magic numbers that file(1) goes by.
 */
import { type Architecture, EIF_MAGIC } from "../format/layout.ts";

/** As many bytes as are looked at. */
export const KERNEL_HEAD_BYTES = 1024;

type Hint = Partial<Readonly<Record<Architecture, string>>>;

/** A format in words, and what starts it. */
export interface KernelFormat {
  readonly name: string;
  /** The architecture that starts it as it is, if one does. */
  readonly boots: Architecture | undefined;
  /** The way to a kernel that is inside, where kernel-unpack.ts knows it. */
  readonly packed?: "gzip" | "zboot";
  /** A command that makes what is needed of FILE, or what to do in its place, by architecture. */
  readonly hint?: Hint;
}

interface Magic extends Omit<KernelFormat, "boots"> {
  readonly boots?: Architecture;
  readonly at: number;
  readonly bytes: string;
}

/** How a compressed kernel becomes one that is started. */
function unpackedBy(command: string): Hint {
  return { x86_64: `${command} FILE > bzImage, if that is inside`, aarch64: `${command} FILE > Image` };
}

function always(hint: string): Hint {
  return { x86_64: hint, aarch64: hint };
}

const FROM_PE = "if it is a unified kernel image: objcopy -O binary --only-section=.linux FILE vmlinuz";

const magics = (): readonly Magic[] => [
  {
    name: "an EIF",
    at: 0,
    bytes: String.fromCharCode(...[24, 16, 8, 0].map((shift) => (EIF_MAGIC >> shift) & 0xff)),
    hint: always("an EIF is launched as it is: nitro -kernel FILE; `nitro eif extract` takes it apart"),
  },
  {
    name: "an x86 bzImage",
    boots: "x86_64",
    at: 0x202,
    bytes: "HdrS",
    hint: { aarch64: "use a kernel that was built for arm64" },
  },
  {
    name: "an EFI zboot image",
    packed: "zboot",
    at: 4,
    bytes: "zimg",
    hint: { x86_64: "it is for another architecture: use a kernel that was built for x86_64" },
  },
  {
    name: "an arm64 Image",
    boots: "aarch64",
    at: 0x38,
    bytes: "ARM\x64",
    hint: { x86_64: "use a kernel that was built for x86_64" },
  },
  { name: "compressed with gzip", packed: "gzip", at: 0, bytes: "\x1f\x8b", hint: unpackedBy("gzip -dc") },
  { name: "compressed with zstd", at: 0, bytes: "\x28\xb5\x2f\xfd", hint: unpackedBy("zstd -dc") },
  { name: "compressed with xz", at: 0, bytes: "\xfd7zXZ\0", hint: unpackedBy("xz -dc") },
  { name: "compressed with lzma", at: 0, bytes: "\x5d\0\0", hint: unpackedBy("lzma -dc") },
  { name: "compressed with bzip2", at: 0, bytes: "BZh", hint: unpackedBy("bzip2 -dc") },
  { name: "compressed with lz4", at: 0, bytes: "\x04\x22\x4d\x18", hint: unpackedBy("lz4 -dc") },
  { name: "compressed with lz4", at: 0, bytes: "\x02\x21\x4c\x18", hint: unpackedBy("lz4 -dc") },
  { name: "compressed with lzo", at: 0, bytes: "\x89LZO\0", hint: unpackedBy("lzop -dc") },
  { name: "a cpio archive", at: 0, bytes: "07070", hint: always("if it is the ramdisk: -initrd FILE") },
  { name: "a uImage of U-Boot", at: 0, bytes: "\x27\x05\x19\x56", hint: always("give the kernel inside") },
  { name: "a device tree", at: 0, bytes: "\xd0\x0d\xfe\xed" },
  { name: "a squashfs image", at: 0, bytes: "hsqs" },
  { name: "a disk image (qcow2)", at: 0, bytes: "QFI\xfb" },
  { name: "a package or archive (ar)", at: 0, bytes: "!<arch>", hint: always("dpkg-deb -x FILE directory") },
  { name: "an RPM package", at: 0, bytes: "\xed\xab\xee\xdb", hint: always("rpm2cpio FILE | cpio -idm") },
  { name: "a zip archive", at: 0, bytes: "PK\x03\x04" },
  { name: "a tar archive", at: 0x101, bytes: "ustar" },
  { name: "an EFI program", at: 0, bytes: "MZ", hint: always(FROM_PE) },
  { name: "a disk image (boot sector)", at: 0x1fe, bytes: "\x55\xaa" },
];

/** What the file is that begins with `head`; "of no known format" where nothing matches. */
export function kernelFormat(head: Uint8Array): KernelFormat {
  if (startsWith(head, 0, "\x7fELF")) return elfFormat(head);
  const found = magics().find(({ at, bytes }) => startsWith(head, at, bytes));
  if (found === undefined) return { name: otherName(head), boots: undefined };
  const { at: _at, bytes: _bytes, boots, ...rest } = found;
  return { ...rest, boots };
}

function startsWith(head: Uint8Array, at: number, bytes: string): boolean {
  for (let i = 0; i < bytes.length; i++) if (head[at + i] !== bytes.charCodeAt(i)) return false;
  return true;
}

/** e_machine of elf(5): EM_X86_64, EM_AARCH64. */
const ELF_MACHINES: Readonly<Record<number, string>> = { 3: "i386", 62: "x86_64", 183: "aarch64" };

function elfFormat(head: Uint8Array): KernelFormat {
  const machine = ELF_MACHINES[(head[18] ?? 0) | ((head[19] ?? 0) << 8)];
  return {
    name: `an ELF file${machine === undefined ? "" : ` for ${machine}`} (a vmlinux, if it is a kernel)`,
    boots: undefined,
    hint: {
      x86_64: "use arch/x86/boot/bzImage of the same build: make bzImage",
      aarch64: "objcopy -O binary FILE Image; or use arch/arm64/boot/Image of the same build",
    },
  };
}

function otherName(head: Uint8Array): string {
  if (head.length > 0 && head.every((byte) => byte === 0)) return "nothing but zeros at its head";
  const text = head.length > 0 && head.every((byte) => (byte >= 0x20 && byte !== 0x7f) || isBlank(byte));
  if (!text) return "of no known format";
  return startsWith(head, 0, "#!") ? "a script" : "a text file";
}

/** Tab, line feed, form feed, carriage return. */
function isBlank(byte: number): boolean {
  return byte === 9 || byte === 10 || byte === 12 || byte === 13;
}

/** What the hypervisor of an architecture starts. */
export function bootableFormat(architecture: Architecture): string {
  return architecture === "x86_64" ? "an x86 bzImage" : "a flat arm64 Image";
}

/** Why a file is no kernel that could start, in the words of a UserError: `why`, and what to type. */
export class KernelError extends Error {
  override readonly name = "KernelError";

  constructor(
    readonly why: string,
    readonly hint: string | undefined,
  ) {
    super(why);
  }
}

/** A kernel that goes into the image as it is, or the format that kernel-unpack.ts takes it out of. */
export type KernelForm = "flat" | "gzip" | "zboot";

/**
 * Decides by a file's first bytes how it becomes the kernel of an image for an architecture.
 * @param path for the command in the hint. Throws KernelError for what could not start.
 */
export function kernelForm(head: Uint8Array, architecture: Architecture, path: string): KernelForm {
  const format = kernelFormat(head);
  if (format.boots === architecture) return "flat";
  if (format.packed !== undefined && architecture === "aarch64") return format.packed;
  throw new KernelError(
    kernelComplaint(format, architecture),
    format.hint?.[architecture]?.replaceAll("FILE", () => path),
  );
}

/** What a file is and what is needed, in one sentence. */
export function kernelComplaint(format: KernelFormat, architecture: Architecture): string {
  return (
    `it is ${format.name}; an enclave on ${architecture} starts ${bootableFormat(architecture)}, ` +
    "with anything else it hangs and prints nothing"
  );
}
