/** Writes a planned image to a file or a stream, and measures it on the way: each byte is read once per pass. */
import { UserError } from "../sys/errors.ts";
import { type FileSection, forEachChunkOf } from "./contents.ts";
import { CRC_OFFSET, encodeCrc, startCrc } from "./format/crc.ts";
import { type Measurement, measureSections, type Pcrs, startMeasurement } from "./format/measurement.ts";
import { type EifPlan, planWithCrc } from "./format/writer.ts";
import type { Advance, InputFile } from "./input-file.ts";
import { AtomicFile, type OutputTarget, openOutputStream, type Sink } from "./output.ts";
import type { EifProgress } from "./progress.ts";

/** How many times all input is read to write an image to a target. */
export function passesFor(target: OutputTarget): number {
  return target.kind === "stream" ? 2 : 1;
}

/** Writes the image. @param stdout descriptor of standard output. Returns its PCRs. Throws UserError. */
export function writeEif(
  plan: EifPlan<InputFile>,
  target: OutputTarget,
  stdout: number,
  progress: EifProgress,
): Pcrs {
  const measurement = startMeasurement();
  if (target.kind === "file") {
    using file = new AtomicFile(target, progress);
    file.writeAt(encodeCrc(writeExtents(plan, progress.advance, file, measurement)), CRC_OFFSET);
    file.rename();
    return measurement.pcrs();
  }
  // The CRC in the header goes out first, so that everything is read once to compute it.
  const crc = writeExtents(plan, progress.advance, { write() {} }, measurement);
  using stream = openOutputStream(target, stdout);
  if (writeExtents(planWithCrc(plan, crc), progress.advance, stream) !== crc) {
    const why = "an input file changed while it was being read; the image that was written is damaged";
    throw new UserError(target.what, why, "run the command again once the input files are complete");
  }
  return measurement.pcrs();
}

/** Returns the CRC of what was written. */
function writeExtents(
  plan: EifPlan<InputFile>,
  advance: Advance,
  sink: Sink,
  measurement?: Measurement,
): number {
  const crc = startCrc();
  for (const { content, section } of plan.extents) {
    if (section !== undefined) measurement?.startSection(section);
    forEachChunkOf(content, advance, (chunk) => {
      crc.add(chunk);
      sink.write(chunk);
      if (section !== undefined) measurement?.add(chunk);
    });
  }
  return crc.value();
}

/** Returns the PCRs of an image with these sections. Throws UserError. */
export function measureContents(sections: readonly FileSection[], advance: Advance): Pcrs {
  return measureSections(sections, ({ content }, use) => forEachChunkOf(content, advance, use));
}
