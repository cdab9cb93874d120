/**
 * Recognises a file by its first bytes, and whether it is a kernel that an enclave can boot. Sources:
 * Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst, drivers/firmware/efi/libstub/zboot-header.S,
 * and for all other formats the magic numbers of file(1).
 */
import { shellQuote } from "../../sys/shell-quote.ts";
import { type Architecture, EIF_MAGIC } from "../format/layout.ts";

/** The number of bytes that recognise a file. */
export const KERNEL_HEAD_BYTES = 1024;

type Hint = Partial<Readonly<Record<Architecture, string>>>;

/** A file format. */
export interface KernelFormat {
  /** Follows `it is`: `an x86 bzImage`. */
  readonly name: string;
  /** The architecture that boots it; undefined for none. */
  readonly boots: Architecture | undefined;
  /** The container of a kernel, if unpack.ts supports it. */
  readonly packed?: "gzip" | "zboot";
  /** What to do instead, by architecture: a command that converts FILE, or advice. */
  readonly hint?: Hint;
}

interface Magic extends Omit<KernelFormat, "boots"> {
  readonly boots?: Architecture;
  readonly at: number;
  readonly bytes: string;
}

/** The hint for a compressed kernel. */
function unpackedBy(command: string): Hint {
  return { x86_64: `${command} FILE > bzImage, if it contains one`, aarch64: `${command} FILE > Image` };
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
    hint: always("launch an EIF as it is: nitro -kernel FILE; nitro eif extract writes its kernel to a file"),
  },
  {
    name: "an x86 bzImage",
    boots: "x86_64",
    at: 0x202,
    bytes: "HdrS",
    hint: { aarch64: "use a kernel built for arm64" },
  },
  {
    name: "an EFI zboot image",
    packed: "zboot",
    at: 4,
    bytes: "zimg",
    hint: { x86_64: "use a kernel built for x86_64" },
  },
  {
    name: "an arm64 Image",
    boots: "aarch64",
    at: 0x38,
    bytes: "ARM\x64",
    hint: { x86_64: "use a kernel built for x86_64" },
  },
  { name: "compressed with gzip", packed: "gzip", at: 0, bytes: "\x1f\x8b", hint: unpackedBy("gzip -dc") },
  { name: "compressed with zstd", at: 0, bytes: "\x28\xb5\x2f\xfd", hint: unpackedBy("zstd -dc") },
  { name: "compressed with xz", at: 0, bytes: "\xfd7zXZ\0", hint: unpackedBy("xz -dc") },
  { name: "compressed with lzma", at: 0, bytes: "\x5d\0\0", hint: unpackedBy("lzma -dc") },
  { name: "compressed with bzip2", at: 0, bytes: "BZh", hint: unpackedBy("bzip2 -dc") },
  { name: "compressed with lz4", at: 0, bytes: "\x04\x22\x4d\x18", hint: unpackedBy("lz4 -dc") },
  { name: "compressed with lz4", at: 0, bytes: "\x02\x21\x4c\x18", hint: unpackedBy("lz4 -dc") },
  { name: "compressed with lzo", at: 0, bytes: "\x89LZO\0", hint: unpackedBy("lzop -dc") },
  { name: "a cpio archive", at: 0, bytes: "07070", hint: always("for a ramdisk: -initrd FILE") },
  {
    name: "a uImage of U-Boot",
    at: 0,
    bytes: "\x27\x05\x19\x56",
    hint: always("extract the kernel with dumpimage of u-boot-tools"),
  },
  { name: "a device tree", at: 0, bytes: "\xd0\x0d\xfe\xed" },
  { name: "a squashfs image", at: 0, bytes: "hsqs" },
  { name: "a disk image (qcow2)", at: 0, bytes: "QFI\xfb" },
  {
    name: "a package or archive (ar)",
    at: 0,
    bytes: "!<arch>",
    hint: always("dpkg-deb -x FILE directory extracts a Debian package"),
  },
  {
    name: "an RPM package",
    at: 0,
    bytes: "\xed\xab\xee\xdb",
    hint: always("rpm2cpio FILE | cpio -idm extracts it"),
  },
  { name: "a zip archive", at: 0, bytes: "PK\x03\x04" },
  { name: "a tar archive", at: 0x101, bytes: "ustar" },
  { name: "an EFI program", at: 0, bytes: "MZ", hint: always(FROM_PE) },
  { name: "a disk image (boot sector)", at: 0x1fe, bytes: "\x55\xaa" },
];

/** Recognises the file that starts with `head`; the name is "of unknown format" if nothing matches. */
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
      x86_64: "use arch/x86/boot/bzImage of the same kernel build (make bzImage)",
      aarch64: "objcopy -O binary FILE Image, or use arch/arm64/boot/Image of the same kernel build",
    },
  };
}

function otherName(head: Uint8Array): string {
  if (head.length > 0 && head.every((byte) => byte === 0)) return "a file that starts with zeros";
  const text = head.length > 0 && head.every((byte) => (byte >= 0x20 && byte !== 0x7f) || isBlank(byte));
  if (!text) return "of unknown format";
  return startsWith(head, 0, "#!") ? "a script" : "a text file";
}

/** Tab, line feed, form feed, carriage return. */
function isBlank(byte: number): boolean {
  return byte === 9 || byte === 10 || byte === 12 || byte === 13;
}

/** The kernel format that the hypervisor boots. */
export function bootableFormat(architecture: Architecture): string {
  return architecture === "x86_64" ? "an x86 bzImage" : "a flat arm64 Image";
}

/** A kernel that an enclave cannot boot; `why` and `hint` are those of a UserError. */
export class KernelError extends Error {
  override readonly name = "KernelError";

  constructor(
    readonly why: string,
    readonly hint: string | undefined,
  ) {
    super(why);
  }
}

/** A kernel that becomes part of the image unchanged, or the container from which unpack.ts takes it. */
export type KernelForm = "flat" | "gzip" | "zboot";

/**
 * Determines by a file's first bytes how it becomes the kernel of an image for an architecture.
 * @param path for the command in the hint. Throws KernelError if an enclave cannot boot it.
 */
export function kernelForm(head: Uint8Array, architecture: Architecture, path: string): KernelForm {
  const format = kernelFormat(head);
  if (format.boots === architecture) return "flat";
  if (format.packed !== undefined && architecture === "aarch64") return format.packed;
  throw new KernelError(
    unbootable(format, architecture),
    format.hint?.[architecture]?.replaceAll("FILE", () => shellQuote(path)),
  );
}

/** Returns what a file is and what an enclave needs instead. */
export function unbootable(format: KernelFormat, architecture: Architecture): string {
  return (
    `it is ${format.name}; an enclave on ${architecture} boots ${bootableFormat(architecture)}, ` +
    "and with anything else it hangs without output"
  );
}
