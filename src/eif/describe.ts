/** `eif describe`: reads an image, and presents it in the keys of AWS's describe-eif. */
import { basename } from "node:path";
import { readEifLeniently } from "./format/lenient-reader.ts";
import { type Pcrs, pcrHex, pcrOfCertificate } from "./format/measurement.ts";
import { type EifMetadata, isObject, readMetadata } from "./format/metadata.ts";
import { fileRamdiskWarnings } from "./initramfs/ramdisks.ts";
import { type EifInspection, inspectEif, openEif, readHeadersWith, sectionContentText } from "./inspect.ts";
import { type EifContext, startProgress } from "./progress.ts";
import type { SigningCertificate } from "./signing/certificate.ts";

/** The launch decides how much memory an image gets, so that no limit is known here. */
const NO_LIMIT = { bytes: Number.POSITIVE_INFINITY, typed: "" };

/** An image with its texts. */
export interface EifDescription extends EifInspection {
  readonly path: string;
  /** undefined if it is too large to be shown. */
  readonly commandLine: string | undefined;
  /** undefined if there is none that can be read. */
  readonly metadata: EifMetadata | undefined;
}

/**
 * Reads an image once, also one that only AWS's reader reads. Reports what is unusual about it, and warnings about its
 * ramdisks. Throws UserError.
 */
export async function describe(context: EifContext, path: string): Promise<EifDescription> {
  using file = openEif(context.system, path);
  using progress = startProgress(context, basename(path));
  const { header, violations, oddities } = readHeadersWith(file, readEifLeniently);
  for (const line of violations) context.report(`note: ${path}: ${line}; a launch refuses the image`);
  for (const line of oddities) context.report(`note: ${path}: ${line}`);
  const inspection = inspectEif(file, progress, header);
  const { size } = inspection;
  const metadata = sectionContentText(file, header, "metadata");
  const commandLine = sectionContentText(file, header, "cmdline");
  const ramdisks = header.sections.filter(({ name }) => name === "ramdisk");
  const ranges = ramdisks.map((section) => ({ file, offset: section.offset, size: section.size }));
  for (const line of await fileRamdiskWarnings(ranges, commandLine ?? "", NO_LIMIT, size))
    context.report(line);
  const { signature } = inspection;
  if (signature !== undefined && signature.section === undefined)
    context.report(`warning: ${path}: PCR8 is unknown: ${signature.problem}`);
  return {
    ...inspection,
    path,
    commandLine,
    metadata: metadata === undefined ? undefined : readMetadata(metadata),
  };
}

/** Returns PCRs in AWS's keys; HashAlgorithm is what AWS's tools print there. */
export function measurementsInfo(
  { pcr0, pcr1, pcr2 }: Pcrs,
  certificate: SigningCertificate | undefined,
): Record<string, string> {
  return {
    HashAlgorithm: "Sha384 { ... }",
    PCR0: pcrHex(pcr0),
    PCR1: pcrHex(pcr1),
    PCR2: pcrHex(pcr2),
    ...(certificate === undefined ? {} : { PCR8: pcrHex(pcrOfCertificate(certificate.der)) }),
  };
}

/** Returns the keys of AWS's describe-eif (EifDescribeInfo in src/common/json_output.rs of aws-nitro-enclaves-cli). */
export function describeInfo(image: EifDescription): Record<string, unknown> {
  const { header, signature, metadata } = image;
  const certificate = signature?.section?.certificate;
  return {
    EifVersion: header.version,
    Measurements: measurementsInfo(image.pcrs, certificate),
    IsSigned: signature !== undefined,
    ...(certificate === undefined ? {} : { SigningCertificate: certificateInfo(certificate) }),
    CheckCRC: image.crc === header.crc,
    ...(signature === undefined ? {} : { SignatureCheck: signature.problem === undefined }),
    ...(metadata?.imageName === undefined ? {} : { ImageName: metadata.imageName }),
    ...(metadata?.imageVersion === undefined ? {} : { ImageVersion: metadata.imageVersion }),
    ...(metadata?.build === undefined ? {} : { Metadata: metadataInfo(metadata) }),
  };
}

function certificateInfo(certificate: SigningCertificate): Record<string, unknown> {
  const pairs = certificate.signature.toHex().toUpperCase().match(/../g) ?? [];
  return {
    IssuerName: certificate.issuer,
    Algorithm: certificate.signedWith,
    NotBefore: certificate.notBefore.text,
    NotAfter: certificate.notAfter.text,
    Signature: pairs.join(":"),
  };
}

/**
 * AWS's tool merges the user's own metadata into the build's; if a key occurs in both, it prints the key twice, which
 * JSON parsers reduce to one. Then the user's metadata is in addition printed as a whole.
 */
function metadataInfo({ build, dockerInfo, custom }: EifMetadata): Record<string, unknown> {
  const builders = { ...build, DockerInfo: dockerInfo ?? null };
  if (custom === null || custom === undefined) return builders;
  if (!isObject(custom)) return { ...builders, CustomMetadata: custom };
  const isLost = Object.keys(custom).some((key) => Object.hasOwn(builders, key) || key === "CustomMetadata");
  return { ...custom, ...builders, ...(isLost ? { CustomMetadata: custom } : {}) };
}
