/** The output of `nitro eif`, as text and as JSON. Text from images is escaped, so that it cannot control terminals. */
import type { EifDescription } from "../../eif/describe.ts";
import { crcText } from "../../eif/format/crc.ts";
import { type Pcrs, pcrHex, pcrOfCertificate } from "../../eif/format/measurement.ts";
import { type SigningCertificate, validityAt } from "../../eif/signing/certificate.ts";
import { escapeLine } from "../../sys/escape-control.ts";

/** Returns JSON as AWS's tools print it, with the control characters escaped that JSON.stringify leaves. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  return `${text.replace(/[\x7f-\x9f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)}\n`;
}

/** Returns lines such as `PCR0 …`, with PCR8 if there is a certificate. */
export function pcrLines(pcrs: Pcrs, certificate: SigningCertificate | undefined): string {
  const { pcr0, pcr1, pcr2 } = pcrs;
  const rows: [string, Uint8Array][] = [
    ["PCR0", pcr0],
    ["PCR1", pcr1],
    ["PCR2", pcr2],
  ];
  if (certificate !== undefined) rows.push(["PCR8", pcrOfCertificate(certificate.der)]);
  return rows.map(([name, pcr]) => `${name} ${pcrHex(pcr)}\n`).join("");
}

/** Describes a certificate in one line. */
export function certificateLine(certificate: SigningCertificate): string {
  const { notBefore, notAfter } = certificate;
  return escapeLine(`${subjectText(certificate)}, valid from ${notBefore.text} to ${notAfter.text}`);
}

function subjectText({ subject }: SigningCertificate): string {
  return subject || "a certificate without a name";
}

/** Returns a size in bytes, and in MiB from 1 MiB on: `1066160 bytes (1 MiB)`. */
export function bytesText(bytes: number | bigint): string {
  const mebibytes = Number(bytes) / 1024 / 1024;
  return mebibytes < 1 ? `${bytes} bytes` : `${bytes} bytes (${Math.round(mebibytes)} MiB)`;
}

/** Describes an image. */
export function describeText(image: EifDescription): string {
  const { header, size, crc } = image;
  const crcState =
    crc === header.crc
      ? `${crcText(crc)}, matches the header`
      : `${crcText(crc)}, but the header has ${crcText(header.crc)}: the image is damaged`;
  const rows = header.sections.map(
    ({ name, offset, size: bytes }, i) =>
      `  ${String(i).padStart(2)} ${name.padEnd(9)} at byte ${offset}, ${bytesText(bytes)}\n`,
  );
  return (
    line("image", `EIF version ${header.version} for ${header.architecture}, ${bytesText(size)}`) +
    line("CRC-32", crcState) +
    line(
      "memory",
      header.defaultMemoryBytes === 0n ? "no default" : `default ${bytesText(header.defaultMemoryBytes)}`,
    ) +
    line("CPUs", header.defaultCpus === 0n ? "no default" : `default ${header.defaultCpus}`) +
    `sections\n${rows.join("")}` +
    line("command", image.commandLine ?? "(too long to show)") +
    pcrLines(image.pcrs, image.signature?.section?.certificate) +
    signatureText(image) +
    metadataText(image)
  );
}

function line(name: string, text: string): string {
  return `${escapeLine(name).padEnd(8)} ${escapeLine(text)}\n`;
}

function signatureText({ signature }: EifDescription): string {
  if (signature === undefined) return line("signed", "no");
  const { section, problem, where } = signature;
  if (section === undefined) return line("signed", `unreadable: ${problem}`);
  const { certificate } = section;
  const state = problem === undefined ? "yes, the signature is valid" : `invalid signature: ${problem}`;
  const validity = validityAt(certificate, new Date());
  return (
    line("signed", `${state} (${where})`) +
    line("by", subjectText(certificate)) +
    line("valid", `${certificate.notBefore.text} to ${certificate.notAfter.text} (${validity} now)`)
  );
}

function metadataText({ metadata, header }: EifDescription): string {
  if (!header.sections.some(({ name }) => name === "metadata")) return line("metadata", "none");
  if (metadata === undefined) return line("metadata", "not a JSON object");
  const { imageName, imageVersion, build, dockerInfo, custom, others } = metadata;
  const rows: [string, unknown][] = [
    ["name", imageName],
    ["version", imageVersion],
    ...Object.entries(build ?? {}),
    ["docker", dockerInfo ?? undefined],
    ["custom", custom ?? undefined],
    ...Object.entries(others),
  ];
  const present = rows.filter(([, value]) => value !== undefined && value !== "");
  if (present.length === 0) return line("metadata", "empty");
  const lines = present.map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `  ${line(name, text)}`;
  });
  return `metadata\n${lines.join("")}`;
}
