/** `eif describe`, and what the other commands say: an image in AWS's keys, and what people read of it. */
import { basename } from "node:path";
import { type Measurement, pcrHex, pcrOfCertificate } from "./format/measurement.ts";
import { isObject, type Metadata, readMetadata } from "./format/metadata.ts";
import { ramdiskWarnings } from "./initramfs/ramdisks.ts";
import { type ImageInspection, inspectImage, openImage, textOf } from "./inspect.ts";
import { type Around, beginWork } from "./progress.ts";
import type { Certificate } from "./signing/certificate.ts";

/** In how much memory an image will run is decided at its launch. */
const ANY_MEMORY = { bytes: Number.POSITIVE_INFINITY, typed: "" };

/** An image as it was found. */
export interface Described extends ImageInspection {
  readonly path: string;
  readonly commandLine: string | undefined;
  readonly metadata: Metadata | undefined;
}

/** Reads an image once, and looks into its ramdisks. Throws UserError. */
export async function describe(around: Around, path: string): Promise<Described> {
  using file = openImage(path);
  using work = beginWork(around, basename(path));
  const survey = inspectImage(file, work);
  const text = textOf(file, survey.eif, "metadata");
  const commandLine = textOf(file, survey.eif, "cmdline");
  const ramdisks = survey.eif.sections.filter(({ name }) => name === "ramdisk");
  const places = ramdisks.map(({ offset, size }) => ({ file, offset, size }));
  for (const line of await ramdiskWarnings(places, commandLine ?? "", ANY_MEMORY, survey.size))
    around.report(line);
  return {
    ...survey,
    path,
    commandLine,
    metadata: text === undefined ? undefined : readMetadata(text),
  };
}

/** PCRs by their names, in AWS's keys: HashAlgorithm is what its tools print there. */
export function measurements(
  { pcr0, pcr1, pcr2 }: Measurement,
  certificate: Certificate | undefined,
): Record<string, string> {
  return {
    HashAlgorithm: "Sha384 { ... }",
    PCR0: pcrHex(pcr0),
    PCR1: pcrHex(pcr1),
    PCR2: pcrHex(pcr2),
    ...(certificate === undefined ? {} : { PCR8: pcrHex(pcrOfCertificate(certificate.der)) }),
  };
}

/** The keys of AWS's describe-eif (EifDescribeInfo in src/common/json_output.rs of aws-nitro-enclaves-cli). */
export function describeInfo(image: Described): Record<string, unknown> {
  const { eif, signature, metadata } = image;
  const certificate = signature?.read?.certificate;
  return {
    EifVersion: eif.version,
    Measurements: measurements(image.measurement, certificate),
    IsSigned: signature !== undefined,
    ...(certificate === undefined ? {} : { SigningCertificate: certificateInfo(certificate) }),
    CheckCRC: image.crc === eif.crc,
    ...(signature === undefined ? {} : { SignatureCheck: signature.whyNot === undefined }),
    ...(metadata?.imageName === undefined ? {} : { ImageName: metadata.imageName }),
    ...(metadata?.imageVersion === undefined ? {} : { ImageVersion: metadata.imageVersion }),
    ...(metadata?.build === undefined ? {} : { Metadata: metadataInfo(metadata) }),
  };
}

function certificateInfo(certificate: Certificate): Record<string, unknown> {
  const pairs = certificate.signature.toHex().toUpperCase().match(/../g) ?? [];
  return {
    IssuerName: certificate.issuer,
    Algorithm: certificate.signedWith,
    NotBefore: certificate.notBefore.text,
    NotAfter: certificate.notAfter.text,
    Signature: pairs.join(":"),
  };
}

/** AWS's tool spreads the user's own metadata among the build's. */
function metadataInfo({ build, dockerInfo, custom }: Metadata): Record<string, unknown> {
  const own = isObject(custom)
    ? custom
    : custom === null || custom === undefined
      ? {}
      : { CustomMetadata: custom };
  return { ...own, ...build, DockerInfo: dockerInfo ?? null };
}
