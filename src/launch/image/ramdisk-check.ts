/**
 * Whether what an image's ramdisks make up could be started from, looked at where it stands in the enclave's memory: by
 * the names of plain archives, and by what compressed ones say of their size. Nothing is unpacked, and a launch is not
 * to wait: so many entries, and no more, are looked at.
 */
import { findingOf, initramfsWarnings, plainHead, wantedBy } from "../../eif/initramfs/initramfs.ts";
import type { Looked } from "../../eif/initramfs/zstd-frame.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { MemorySize } from "../plan/memory.ts";
import type { Image } from "./image-files.ts";

/** Some milliseconds' worth. */
const MOST_ENTRIES = 5_000;
/** A view of memory has at most 4 GiB. */
const PIECE_BYTES = 1024 ** 3;
/** As much of a command line as the kernel looks at, and more. */
const MOST_COMMAND_LINE = 4096;

/** What to say about an image that has been written into `mapping` from `offset` on. */
export function ramdiskWarnings(
  image: Image,
  mapping: Mapping,
  offset: number,
  memory: MemorySize,
): string[] {
  const commandLine = image.sections.find(({ name }) => name === "cmdline");
  const line = mapping.view(
    offset + (commandLine?.offset ?? 0),
    Math.min(commandLine?.size ?? 0, MOST_COMMAND_LINE),
  );
  const wanted = wantedBy(new TextDecoder().decode(line));
  const ramdisks = image.sections.filter(({ name, size }) => name === "ramdisk" && size > 0);
  const findings = ramdisks.map((section) => {
    const bytes = lookedAt(mapping, offset + section.offset, section.size);
    return findingOf(bytes, plainHead(bytes, wanted, MOST_ENTRIES, PIECE_BYTES));
  });
  return initramfsWarnings(wanted, findings, memory, image.size);
}

function lookedAt(mapping: Mapping, start: number, size: number): Looked {
  return {
    size,
    at(from, length) {
      const begin = Math.max(0, Math.min(from, size));
      return mapping.view(start + begin, Math.min(length, size - begin));
    },
  };
}
