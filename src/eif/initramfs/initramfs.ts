/**
 * Whether the kernel can start from the initramfs that an image's ramdisks make up, and how much memory it needs:
 * judged by the names in its archives, by headers of compressed ramdisks and by the kernel command line. Sources:
 * init/main.c (rdinit=), init/do_mounts.c and init/initramfs.c; the behaviour was also verified with Linux 6.1.
 */
import { S_IFLNK, S_IFMT, S_IFREG } from "../../sys/linux/stat.ts";
import { MIB } from "../../sys/units.ts";
import type { ByteView } from "../format/bytes.ts";
import { type CpioWalk, cpioWalk } from "./cpio.ts";
import { type Compression, compressionAt, unpackedSize } from "./unpacked-size.ts";

/** The program that the kernel starts, by its command line, and what to look for in the ramdisks. */
export interface InitProgram {
  /** As written: `/init`. */
  readonly program: string;
  /** Without a leading slash. */
  readonly path: string;
  /** Whether rdinit= names it. */
  readonly named: boolean;
  /** Whether root= is on the command line; without it the unpacked files may take at most half of the memory. */
  readonly hasRoot: boolean;
  /** The paths to look for: the program, the directories above it, and the usual alternative. */
  readonly paths: readonly string[];
}

/** What is known about a ramdisk. */
export interface RamdiskInspection {
  /** The modes of those paths that were found. */
  readonly modes: ReadonlyMap<string, number>;
  /** Whether all names in it were read. */
  readonly complete: boolean;
  /** The minimum that it unpacks to, in bytes. */
  readonly unpackedBytes: number;
  /** Why it cannot be unpacked as a whole, as a predicate: `is truncated: …`; undefined if that is not known. */
  readonly damage: string | undefined;
}

const DEFAULT_PROGRAM = "/init";
/** What the kernel starts from a disk, but never from an initramfs. */
const DISK_PROGRAM = "sbin/init";

/** COMMAND_LINE_SIZE of both architectures: the kernel ignores what is beyond. */
const MAX_COMMAND_LINE_BYTES = 2048;

/** Reads the kernel command line. */
export function initProgram(commandLine: string): InitProgram {
  const parameters = commandLine.slice(0, MAX_COMMAND_LINE_BYTES).split(/\s+/);
  const named = parameters
    .filter((parameter) => parameter.startsWith("rdinit="))
    .at(-1)
    ?.slice("rdinit=".length);
  const hasRoot = parameters.some((parameter) => parameter.startsWith("root="));
  const program = named ?? DEFAULT_PROGRAM;
  const path = normalizedPath(program);
  const paths = [path, DISK_PROGRAM, ...directoriesOf(path)];
  return { program, path, named: named !== undefined, hasRoot, paths };
}

/** Returns the directories above a path: `a` and `a/b` for `a/b/c`. */
function directoriesOf(path: string): string[] {
  const names = path.split("/");
  return names.slice(1).map((_, i) => names.slice(0, i + 1).join("/"));
}

function normalizedPath(path: string): string {
  const names = path.split("/").filter((name, i, all) => name !== "" || i === all.length - 1);
  return names.join("/");
}

/** The plain archives at the start of a ramdisk. */
export interface PlainArchives {
  readonly walk: CpioWalk;
  /** Where something else starts; the ramdisk's size if nothing does. */
  readonly end: number;
  /** The compression of what starts there; undefined if it is not recognised. */
  readonly compression: Compression | undefined;
}

/** Reads the plain archives at the start of a ramdisk. @param maxEntries after which reading stops. */
export function readPlainArchives(
  bytes: ByteView,
  paths: readonly string[],
  maxEntries: number,
  chunkBytes: number,
): PlainArchives {
  const walk = cpioWalk(paths, maxEntries);
  let end = 0;
  while (end < bytes.size) {
    const skipped = Math.min(walk.skippable, bytes.size - end);
    walk.skip(skipped);
    end += skipped;
    const chunk = bytes.at(end, chunkBytes);
    const used = walk.push(chunk);
    end += used;
    if (used < chunk.length || chunk.length === 0) break;
  }
  const more = walk.complete && end < bytes.size;
  return { walk, end, compression: more ? compressionAt(bytes, end) : undefined };
}

/** Returns what is known about a whole ramdisk without unpacking anything. */
export function inspectPlain(bytes: ByteView, { walk, end, compression }: PlainArchives): RamdiskInspection {
  const packed = compression === undefined ? 0 : (unpackedSize(bytes, end, compression) ?? 0);
  // A file of unknown format may unpack to nothing; an archive takes at least its own size.
  const known = walk.entries > 0 || compression !== undefined;
  const unpackedBytes = known ? Math.max(bytes.size, end + packed) : 0;
  const damage =
    end >= bytes.size && walk.withinEntry ? "is truncated: its cpio archive ends within a file" : undefined;
  return { modes: walk.modes, complete: walk.complete && end >= bytes.size, unpackedBytes, damage };
}

/** The memory of the enclave, and the option as typed: `-m 64M`. */
export interface MemoryLimit {
  readonly bytes: number;
  readonly typed: string;
}

/** Returns warnings about an initramfs from which the kernel cannot start. @param imageBytes size of the whole EIF. */
export function initramfsWarnings(
  init: InitProgram,
  ramdisks: readonly RamdiskInspection[],
  memory: MemoryLimit,
  imageBytes: number,
): string[] {
  const warnings = [
    ...damageWarnings(ramdisks),
    programWarning(init, ramdisks),
    memoryWarning(init, ramdisks, memory, imageBytes),
  ];
  return warnings.filter((text) => text !== undefined).map((text) => `warning: ${text}`);
}

function damageWarnings(ramdisks: readonly RamdiskInspection[]): (string | undefined)[] {
  return ramdisks.map(({ damage }, i) => {
    if (damage === undefined) return undefined;
    const name = ramdisks.length === 1 ? "the ramdisk" : `ramdisk ${i + 1}`;
    return `${name} ${damage}; the kernel unpacks only part of it; copy it again and compare the checksums`;
  });
}

/** Execute permission for owner, group or others. */
const EXECUTE = 0o111;

function programWarning(
  { program, path, named }: InitProgram,
  ramdisks: readonly RamdiskInspection[],
): string | undefined {
  const mode = modeOf(path, ramdisks);
  if (mode !== undefined) {
    if ((mode & S_IFMT) !== S_IFREG || (mode & EXECUTE) !== 0) return undefined;
    return `${program} in the initramfs is not executable: the kernel will panic; chmod 755 it and pack it again`;
  }
  const throughSymlink = directoriesOf(path).some(
    (directory) => ((modeOf(directory, ramdisks) ?? 0) & S_IFMT) === S_IFLNK,
  );
  const unknown = ramdisks.length === 0 || ramdisks.some(({ complete }) => !complete);
  if (unknown || throughSymlink) return undefined;
  const name = named ? `${program}, which rdinit= names` : program;
  const advice =
    modeOf(DISK_PROGRAM, ramdisks) === undefined
      ? "add it, or name another program with rdinit=PATH in -append"
      : `to start its /${DISK_PROGRAM}, add rdinit=/${DISK_PROGRAM} to -append`;
  return `the initramfs has no ${name}: the kernel will panic, unless one is built into it; ${advice}`;
}

/** Returns the mode of a path once all ramdisks are unpacked: the last one that contains it counts. */
function modeOf(path: string, ramdisks: readonly RamdiskInspection[]): number | undefined {
  return ramdisks
    .filter(({ modes }) => modes.has(path))
    .at(-1)
    ?.modes.get(path);
}

/** Returns an even number of MiB for -m. */
function memoryText(bytes: number): string {
  return `${2 * Math.ceil(bytes / MIB / 2)}M`;
}

function memoryWarning(
  { hasRoot }: InitProgram,
  ramdisks: readonly RamdiskInspection[],
  { bytes, typed }: MemoryLimit,
  imageBytes: number,
): string | undefined {
  let unpacked = 0;
  for (const { unpackedBytes } of ramdisks) unpacked += unpackedBytes;
  const withImage = imageBytes + unpacked;
  const twice = hasRoot ? 0 : 2 * unpacked;
  const needed = Math.max(withImage, twice);
  if (unpacked === 0 || bytes >= needed) return undefined;
  const why =
    withImage >= twice
      ? `in addition to the image's ${imageBytes} bytes`
      : "and without root= in -append the kernel allows them half of the memory";
  return (
    `${typed} is too little memory: the ramdisks unpack to at least ${unpacked} bytes, ${why}; ` +
    `use -m ${memoryText(needed)} or more`
  );
}
