/**
 * The Enclave Image Format on disk, big-endian throughout. Source: the specification in the repository
 * aws/aws-nitro-enclaves-image-format (README.md, src/defs/mod.rs). Data only.
 */
import { array, struct, u16, u32, u64 } from "../../sys/struct.ts";

/** `.eif` */
export const EIF_MAGIC = 0x2e656966;
export const EIF_MAX_SECTIONS = 32;
/** The versions that the hypervisor accepts. */
export const EIF_VERSIONS = { min: 2, max: 4 } as const;
/** The version that nitro writes. */
export const EIF_VERSION = 4;
/** Bit 0 of the header's flags: the image is for aarch64. Higher bits belong to other launch modes. */
export const EIF_FLAG_AARCH64 = 0x1;
/** The first version that may carry a signature, and the first in which metadata is mandatory. */
export const EIF_SIGNATURE_SINCE = 3;
export const EIF_METADATA_SINCE = 4;
/** EIF_SIGNATURE_MAX_SIZE. */
export const EIF_SIGNATURE_MAX_BYTES = 32768;
/**
 * nitro's own limit: AWS's tools have none, and write some kilobytes, including what Docker reports about the image.
 */
export const EIF_METADATA_MAX_BYTES = 1024 * 1024;

/** The header at the start of the file. */
export const eifHeader = struct(
  "EifHeader",
  548,
  {
    magic: u32,
    version: u16,
    flags: u16,
    default_mem: u64,
    default_cpus: u64,
    reserved: u16,
    num_sections: u16,
    section_offsets: array(u64, EIF_MAX_SECTIONS),
    section_sizes: array(u64, EIF_MAX_SECTIONS),
    unused: u32,
    eif_crc32: u32,
  },
  "big-endian",
);

/** The header before each section's payload; the file header's offsets point to these. */
export const eifSectionHeader = struct(
  "EifSectionHeader",
  12,
  { section_type: u16, flags: u16, section_size: u64 },
  "big-endian",
);

/** EifSectionType. */
export const EIF_SECTION = { kernel: 1, cmdline: 2, ramdisk: 3, signature: 4, metadata: 5 } as const;
/** A section type by its name. */
export type SectionName = keyof typeof EIF_SECTION;

/** Architectures of an enclave, as uname -m prints them. */
export type Architecture = "x86_64" | "aarch64";
