/**
 * Whether the initramfs that an image's ramdisks make up can be started from, and how much room it takes: told by the
 * names in its archives, by headers, and by the kernel's command line. Sources: init/main.c (rdinit=), init/do_mounts.c
 * and init/initramfs.c; what they do was also watched with Linux 6.1.
 */
import { type CpioWalk, cpioWalk } from "./cpio.ts";
import { type Compression, compressionAt, unpackedSize } from "./unpacked-size.ts";
import type { Looked } from "./zstd-frame.ts";

/** What is looked for in the ramdisks of an image. */
export interface Wanted {
  /** The program that the kernel starts, as it is written: `/init`. */
  readonly program: string;
  /** The same without a slash at its head. */
  readonly path: string;
  /** Whether rdinit= named it. */
  readonly named: boolean;
  /** Whether root= is on the command line, without which what is unpacked may take half of the memory. */
  readonly hasRoot: boolean;
  /** The paths to look for: the program, the directories on the way to it, and what might be meant. */
  readonly paths: readonly string[];
}

/** What a ramdisk was found to be. */
export interface RamdiskFinding {
  /** Modes by path, of those that were looked for. */
  readonly seen: ReadonlyMap<string, number>;
  /** Whether all of its names were seen. */
  readonly whole: boolean;
  /** The least that it unpacks to, in bytes. */
  readonly unpackedBytes: number;
}

const DEFAULT_PROGRAM = "/init";
/** What other systems start: the kernel does so from a disk only. */
const USUAL_PROGRAM = "sbin/init";

/** COMMAND_LINE_SIZE of both architectures: the kernel does not look beyond. */
const MOST_COMMAND_LINE = 2048;

/** Reads the kernel's command line. */
export function wantedBy(commandLine: string): Wanted {
  const words = commandLine.slice(0, MOST_COMMAND_LINE).split(/\s+/);
  let named: string | undefined;
  let hasRoot = false;
  for (const word of words) {
    if (word.startsWith("rdinit=")) named = word.slice("rdinit=".length);
    if (word.startsWith("root=")) hasRoot = true;
  }
  const program = named ?? DEFAULT_PROGRAM;
  const path = plainPath(program);
  const paths = [path, USUAL_PROGRAM, ...directoriesOf(path)];
  return { program, path, named: named !== undefined, hasRoot, paths };
}

/** The directories on the way to a path: `a` and `a/b` of `a/b/c`. */
function directoriesOf(path: string): string[] {
  const directories: string[] = [];
  for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1))
    directories.push(path.slice(0, at));
  return directories;
}

function plainPath(path: string): string {
  const names = path.split("/").filter((name, i, all) => name !== "" || i === all.length - 1);
  return names.join("/");
}

/** What follows the plain archives at the head of a ramdisk. */
export interface PlainHead {
  readonly walk: CpioWalk;
  /** Where something else begins; the ramdisk's size where nothing does. */
  readonly end: number;
  readonly compression: Compression | undefined;
}

/** Walks over the plain archives at the head of a ramdisk. @param mostEntries after which no more are looked at. */
export function plainHead(bytes: Looked, wanted: Wanted, mostEntries: number, pieceBytes: number): PlainHead {
  const walk = cpioWalk(wanted.paths, mostEntries);
  let at = 0;
  while (at < bytes.size) {
    const skipped = Math.min(walk.skippable, bytes.size - at);
    walk.skip(skipped);
    at += skipped;
    const piece = bytes.at(at, pieceBytes);
    const used = walk.push(piece);
    at += used;
    if (used < piece.length || piece.length === 0) break;
  }
  const ended = walk.complete && at < bytes.size;
  return { walk, end: at, compression: ended ? compressionAt(bytes, at) : undefined };
}

/** What a plain head tells of the whole ramdisk, without anything being unpacked. */
export function findingOf(bytes: Looked, { walk, end, compression }: PlainHead): RamdiskFinding {
  const packed = compression === undefined ? 0 : (unpackedSize(bytes, end, compression) ?? 0);
  // Of what is no archive, packed or not, nothing is known; what is one takes its own size at least.
  const known = walk.entries > 0 || compression !== undefined;
  const unpackedBytes = known ? Math.max(bytes.size, end + packed) : 0;
  return { seen: walk.seen, whole: walk.complete && end >= bytes.size, unpackedBytes };
}

/** Memory that an image is to run in: bytes, and the words that say so. */
export interface Room {
  readonly bytes: number;
  readonly typed: string;
}

/** Warnings of what would not start. @param imageBytes of the whole EIF. */
export function initramfsWarnings(
  wanted: Wanted,
  findings: readonly RamdiskFinding[],
  room: Room,
  imageBytes: number,
): string[] {
  const warnings = [programWarning(wanted, findings), roomWarning(wanted, findings, room, imageBytes)];
  return warnings.filter((text) => text !== undefined).map((text) => `warning: ${text}`);
}

/** File types of a mode, as in stat(2). */
const TYPE_MASK = 0o170000;
const LINK = 0o120000;
const REGULAR = 0o100000;
const EXECUTE = 0o111;

function programWarning(wanted: Wanted, findings: readonly RamdiskFinding[]): string | undefined {
  const { program, path, named } = wanted;
  const mode = modeOf(path, findings);
  if (mode !== undefined) {
    if ((mode & TYPE_MASK) !== REGULAR || (mode & EXECUTE) !== 0) return undefined;
    return `${program} of the initramfs is not executable: the kernel panics; chmod 755 it and pack it again`;
  }
  const empty = findings.length === 0;
  const throughLink = directoriesOf(path).some(
    (directory) => ((modeOf(directory, findings) ?? 0) & TYPE_MASK) === LINK,
  );
  if (empty || throughLink || findings.some(({ whole }) => !whole)) return undefined;
  const says = named ? `, which rdinit=${program} names` : "";
  const other =
    modeOf(USUAL_PROGRAM, findings) !== undefined
      ? `rdinit=/${USUAL_PROGRAM} on the kernel's command line starts the /${USUAL_PROGRAM} that it has`
      : "put it in, or name another program on the kernel's command line: rdinit=PATH";
  return `the initramfs has no ${program}${says}: unless one is built into the kernel, it panics; ${other}`;
}

/** What the kernel makes of a path in the end: the last ramdisk that has it counts. */
function modeOf(path: string, findings: readonly RamdiskFinding[]): number | undefined {
  let mode: number | undefined;
  for (const { seen } of findings) mode = seen.get(path) ?? mode;
  return mode;
}

const MIB = 1024 * 1024;

/** An even number of MiB, as -m takes it. */
function memoryText(bytes: number): string {
  return `${2 * Math.ceil(bytes / MIB / 2)}M`;
}

function roomWarning(
  { hasRoot }: Wanted,
  findings: readonly RamdiskFinding[],
  { bytes, typed }: Room,
  imageBytes: number,
): string | undefined {
  let unpacked = 0;
  for (const { unpackedBytes } of findings) unpacked += unpackedBytes;
  const [beside, half] = [imageBytes + unpacked, hasRoot ? 0 : 2 * unpacked];
  const least = Math.max(beside, half);
  if (unpacked === 0 || bytes >= least) return undefined;
  const why =
    beside >= half
      ? `beside the image's ${imageBytes}`
      : "and may take half of the memory, unless root= is on the kernel's command line";
  return (
    `${typed}: the ramdisks unpack to ${unpacked} bytes or more, ${why}: the kernel will not have the room; ` +
    `use -m ${memoryText(least)} or more`
  );
}
