/** The hypervisor's check of the image: the Enclave Image Format as AWS specifies it, read from donated memory. */
import type { GuestMemory } from "./guest-memory.ts";

/** One section of an image. */
export interface ImageSection {
  type: string;
  /** Offset of its payload from the image's start. */
  offset: number;
  /** The payload's length. */
  bytes: number;
}

/** The result of the check. */
export interface ImageReport {
  ok: boolean;
  /** Why it is rejected. */
  reason?: string;
  version?: number;
  arch?: "x86_64" | "aarch64";
  /** The whole image's length. */
  bytes?: number;
  crc?: string;
  crcComputed?: string;
  sections: ImageSection[];
}

const HEADER_BYTES = 548;
const SECTION_HEADER_BYTES = 12;
const CRC_AT = 544;
const sectionTypes = ["invalid", "kernel", "cmdline", "ramdisk", "signature", "metadata"];

function hex(crc: number): string {
  return (crc >>> 0).toString(16).padStart(8, "0");
}

/** Returns the sections that a header lists, or why it is invalid. */
function readSections(memory: GuestMemory, base: number, header: DataView): ImageSection[] | string {
  const count = header.getUint16(26);
  if (count < 2 || count > 32) return `${count} sections`;
  const sections: ImageSection[] = [];
  let end = HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    const offset = Number(header.getBigUint64(28 + 8 * index));
    const announced = Number(header.getBigUint64(284 + 8 * index));
    if (offset < end) return `section ${index} begins at ${offset}, before ${end}`;
    const bytes = memory.copy(base + offset, SECTION_HEADER_BYTES);
    if (bytes === undefined) return `section ${index} is outside of the donated memory`;
    const own = new DataView(bytes.buffer);
    const type = sectionTypes[own.getUint16(0)] ?? "unknown";
    const length = Number(own.getBigUint64(4));
    if (type === "invalid" || type === "unknown") return `section ${index} has the type ${own.getUint16(0)}`;
    // AWS's signer does not update the size of a signature in the file header: the section's own header counts.
    if (length !== announced && type !== "signature")
      return `section ${index} has ${length} bytes, not ${announced}`;
    end = offset + SECTION_HEADER_BYTES + length;
    if (base + end > memory.length) return `section ${index} ends outside of the donated memory`;
    sections.push({ type, offset: offset + SECTION_HEADER_BYTES, bytes: length });
  }
  return sections;
}

/** Checks the number and the order of sections by the version. Returns the violated rule. */
function checkOrder(sections: readonly ImageSection[], version: number): string | undefined {
  const count = (type: string): number => sections.filter((section) => section.type === type).length;
  if (count("kernel") !== 1) return `${count("kernel")} kernels`;
  if (count("cmdline") !== 1) return `${count("cmdline")} command lines`;
  if (count("signature") > (version >= 3 ? 1 : 0)) return "too many signatures";
  if (count("metadata") !== (version >= 4 ? 1 : 0))
    return `${count("metadata")} metadata sections in version ${version}`;
  const kernel = sections.findIndex((section) => section.type === "kernel");
  const ramdisk = sections.findIndex((section) => section.type === "ramdisk");
  return ramdisk >= 0 && ramdisk < kernel ? "a ramdisk before the kernel" : undefined;
}

/** Reads and checks the image at offset `base` of the donated memory. */
export function checkImage(memory: GuestMemory, base: number): ImageReport {
  const bytes = memory.copy(base, HEADER_BYTES);
  if (bytes === undefined)
    return { ok: false, reason: "the image's header is outside of the donated memory", sections: [] };
  const header = new DataView(bytes.buffer);
  if (header.getUint32(0) !== 0x2e656966) return { ok: false, reason: "no magic .eif", sections: [] };
  const version = header.getUint16(4);
  const arch = (header.getUint16(6) & 1) === 0 ? "x86_64" : "aarch64";
  if (version < 2 || version > 4)
    return { ok: false, reason: `version ${version}`, version, arch, sections: [] };
  const sections = readSections(memory, base, header);
  if (typeof sections === "string") return { ok: false, reason: sections, version, arch, sections: [] };
  const last = sections.at(-1);
  const length = last === undefined ? HEADER_BYTES : last.offset + last.bytes;
  const crc = header.getUint32(CRC_AT);
  const head = memory.crc(base, CRC_AT, 0);
  const computed = memory.crc(base + HEADER_BYTES, length - HEADER_BYTES, head);
  const report = {
    version,
    arch,
    bytes: length,
    crc: hex(crc),
    crcComputed: hex(computed),
    sections,
  } as const;
  let reason = checkOrder(sections, version);
  if (crc !== computed >>> 0) reason = `CRC ${hex(crc)} in the header, ${hex(computed)} over the image`;
  else if (arch !== "x86_64") reason = `an image for ${arch} on a parent instance of x86_64`;
  return reason === undefined ? { ok: true, ...report } : { ok: false, reason, ...report };
}

/** Returns a section's payload (ramdisks joined), as views of the donated memory in order. */
export function payload(
  memory: GuestMemory,
  base: number,
  image: ImageReport,
  type: string,
): Uint8Array<ArrayBuffer>[] {
  return image.sections
    .filter((section) => section.type === type)
    .flatMap((section) => memory.views(base + section.offset, section.bytes));
}
