/** Assembles an EIF in the enclave's memory from a kernel, ramdisks and a command line. */
import { CRC_OFFSET, encodeCrc, startCrc } from "../../eif/format/crc.ts";
import type { EifPlan } from "../../eif/format/writer.ts";
import type { Advance, InputFile } from "../../eif/input-file.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { ReadThreads } from "../../sys/threads/read.ts";

/** Writes a planned image to `memory` at `offset`; threads read large files. Throws UserError, Cancelled. */
export function loadPlan(
  system: System,
  { extents }: EifPlan<InputFile>,
  memory: Mapping,
  offset: number,
  advance: Advance,
): void {
  const reads = extents.flatMap(({ content, offset: at }) =>
    content instanceof Uint8Array ? [] : [content.fileRead(memory, offset + at)],
  );
  using threads = ReadThreads.start(system, reads);
  const crc = startCrc();
  for (const { content, offset: at } of extents) {
    if (content instanceof Uint8Array) {
      const target = memory.view(offset + at, content.length);
      target.set(content);
      crc.add(target);
    } else {
      const use = (chunk: Uint8Array) => {
        crc.add(chunk);
        advance(chunk.length);
      };
      content.load(memory, offset + at, use, threads);
    }
  }
  memory.view(offset + CRC_OFFSET, 4).set(encodeCrc(crc.value()));
}
