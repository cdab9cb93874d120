/** Whether what an image's ramdisks make up could be started from: what `eif build` and `eif describe` warn of. */

import type { InputFile } from "../input.ts";
import {
  findingOf,
  initramfsWarnings,
  plainHead,
  type RamdiskFinding,
  type Room,
  type Wanted,
  wantedBy,
} from "./initramfs.ts";
import type { Looked } from "./zstd-frame.ts";

/** A ramdisk in a file: the file itself, or a section of an image; bytes. */
export interface RamdiskPlace {
  readonly file: InputFile;
  readonly offset: number;
  readonly size: number;
}

const PIECE_BYTES = 64 * 1024;
/** Files and directories of a ramdisk that are looked at; no initramfs has so many. */
const MOST_ENTRIES = 2_000_000;

/** Looks at the ramdisks, in their order. Throws UserError where a file cannot be read. */
export async function ramdiskWarnings(
  ramdisks: readonly RamdiskPlace[],
  commandLine: string,
  room: Room,
  imageBytes: number,
): Promise<string[]> {
  const wanted = wantedBy(commandLine);
  const findings: RamdiskFinding[] = [];
  for (const ramdisk of ramdisks) {
    if (ramdisk.size > 0) findings.push(await findingIn(lookedAt(ramdisk), wanted));
  }
  return initramfsWarnings(wanted, findings, room, imageBytes);
}

async function findingIn(bytes: Looked, wanted: Wanted): Promise<RamdiskFinding> {
  const head = plainHead(bytes, wanted, MOST_ENTRIES, PIECE_BYTES);
  if (head.compression === undefined) return findingOf(bytes, head);
  const { lookThrough } = await import("./ramdisk-stream.ts");
  return lookThrough(bytes, head, wanted);
}

function lookedAt({ file, offset, size }: RamdiskPlace): Looked {
  const buffer = new Uint8Array(PIECE_BYTES);
  return {
    size,
    at(from, length) {
      const bytes = Math.max(0, Math.min(length, buffer.length, size - from));
      const start = Math.max(0, from);
      return buffer.subarray(0, file.read(buffer.subarray(0, bytes), offset + start));
    },
  };
}
