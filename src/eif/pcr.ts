/** `eif pcr`: the PCRs of an image file, or of the image that a launch would assemble. */
import { basename } from "node:path";
import { UserError } from "../sys/errors.ts";
import { type ImageContents, kernelSection, launchSections, openContents } from "./contents.ts";
import type { Pcrs } from "./format/measurement.ts";
import { inspectEif, openEif, requireCrc } from "./inspect.ts";
import { type EifContext, startProgress } from "./progress.ts";
import type { SigningCertificate } from "./signing/certificate.ts";
import { measureContents } from "./write.ts";

/** What an image's content and signature determine. */
export interface ImagePcrs {
  readonly pcrs: Pcrs;
  /** The certificate of its signature, which PCR8 covers. */
  readonly certificate: SigningCertificate | undefined;
}

/** Reads an image once. Throws UserError, also if it is damaged, or its certificate cannot be read. */
export function imagePcrs(context: EifContext, path: string): ImagePcrs {
  using file = openEif(context.system, path);
  using progress = startProgress(context, basename(path));
  const inspection = inspectEif(file, progress);
  requireCrc(file, inspection);
  const { pcrs, signature } = inspection;
  if (signature !== undefined && signature.section === undefined) {
    const why = `PCR8 is unknown: ${signature.problem}`;
    throw new UserError(path, why, "sign the image again: nitro eif sign -help");
  }
  return { pcrs, certificate: signature?.section?.certificate };
}

/** Measures the image that a launch would assemble. Throws UserError. */
export async function contentPcrs(context: EifContext, contents: ImageContents): Promise<ImagePcrs> {
  using stack = new DisposableStack();
  const { kernel, ramdisks } = openContents(context.system, stack, contents);
  const section = await kernelSection(kernel, contents, context.report);
  using progress = startProgress(context, basename(contents.kernel));
  progress.expect([kernel, ...ramdisks].reduce((sum, { size }) => sum + size, 0));
  const sections = launchSections(section, contents.commandLine, ramdisks);
  return { pcrs: measureContents(sections, progress.advance), certificate: undefined };
}
