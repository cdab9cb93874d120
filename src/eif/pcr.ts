/** `eif pcr`: what an image measures, or what would be launched of the same words, and the PCRs that others decide. */
import { basename } from "node:path";
import { measureParts } from "./assembly.ts";
import { type Contents, kernelPart, launchParts, openContents } from "./build.ts";
import type { Measurement } from "./format/measurement.ts";
import { inspectImage, openImage, requireCrc } from "./inspect.ts";
import { type Around, beginWork } from "./progress.ts";
import type { Certificate } from "./signing/certificate.ts";

/** What an image's content and signature decide. */
export interface ImagePcrs {
  readonly measurement: Measurement;
  readonly certificate: Certificate | undefined;
}

/** Of an image in a file. Throws UserError, for a damaged one too. */
export function imagePcrs(around: Around, path: string): ImagePcrs {
  using file = openImage(path);
  using work = beginWork(around, basename(path));
  const survey = inspectImage(file, work);
  requireCrc(file, survey);
  return { measurement: survey.measurement, certificate: survey.signature?.read?.certificate };
}

/** Of what a launch, or eif build, would make of a kernel, ramdisks and a command line. Throws UserError. */
export async function contentPcrs(around: Around, contents: Contents): Promise<ImagePcrs> {
  using stack = new DisposableStack();
  const { kernel, ramdisks } = openContents(stack, contents);
  const parts = launchParts(contents, await kernelPart(around, kernel, contents), ramdisks);
  using work = beginWork(around, basename(contents.kernel));
  work.expect([kernel, ...ramdisks].reduce((sum, { size }) => sum + size, 0));
  return { measurement: measureParts(parts, work), certificate: undefined };
}
