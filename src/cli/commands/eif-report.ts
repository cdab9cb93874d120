/** The output of `nitro eif`, as text and as JSON. Text from images is escaped, so that it cannot control terminals. */
import type { Described } from "../../eif/describe.ts";
import { type Measurement, pcrHex, pcrOfCertificate } from "../../eif/format/measurement.ts";
import { hex32 } from "../../eif/format/reader.ts";
import { sectionText } from "../../eif/inspect.ts";
import { type Certificate, validityAt } from "../../eif/signing/certificate.ts";
import { escapeControl } from "../../sys/escape-control.ts";

/** Returns JSON as AWS's tools print it, with the control characters escaped that JSON.stringify leaves. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  return `${text.replace(/[\x7f-\x9f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)}\n`;
}

/** Returns lines such as `PCR0 …`, with PCR8 if there is a certificate. */
export function pcrLines(measurement: Measurement, certificate: Certificate | undefined): string {
  const { pcr0, pcr1, pcr2 } = measurement;
  const rows: [string, Uint8Array][] = [
    ["PCR0", pcr0],
    ["PCR1", pcr1],
    ["PCR2", pcr2],
  ];
  if (certificate !== undefined) rows.push(["PCR8", pcrOfCertificate(certificate.der)]);
  return rows.map(([name, pcr]) => `${name} ${pcrHex(pcr)}\n`).join("");
}

/** Describes a certificate in one line. */
export function certificateLine(certificate: Certificate): string {
  const { subject, notBefore, notAfter } = certificate;
  return oneLine(`${subject}, valid from ${notBefore.text} to ${notAfter.text}`);
}

/** Returns a size in bytes, and in MiB from 1 MiB on: `1066160 bytes (1 MiB)`. */
export function bytesText(bytes: number | bigint): string {
  const mebibytes = Number(bytes) / 1024 / 1024;
  return mebibytes < 1 ? `${bytes} bytes` : `${bytes} bytes (${Math.round(mebibytes)} MiB)`;
}

/** Describes an image. */
export function describeText(image: Described): string {
  const { eif, size, defaults, crc } = image;
  const crcText =
    crc === eif.crc
      ? `${hex32(crc)}, matches the header`
      : `${hex32(crc)}, but the header has ${hex32(eif.crc)}: the image is damaged`;
  const rows = eif.sections.map(
    ({ name, offset, size: bytes }, i) =>
      `  ${String(i).padStart(2)} ${name.padEnd(9)} at byte ${offset}, ${bytesText(bytes)}\n`,
  );
  return (
    line("image", `EIF version ${eif.version} for ${eif.architecture}, ${bytesText(size)}`) +
    line("CRC-32", crcText) +
    line(
      "memory",
      defaults.memoryBytes === 0n ? "no default" : `default ${bytesText(defaults.memoryBytes)}`,
    ) +
    line("CPUs", defaults.cpus === 0n ? "no default" : `default ${defaults.cpus}`) +
    `sections\n${rows.join("")}` +
    line("command", image.commandLine ?? "(too long to show)") +
    pcrLines(image.measurement, image.signature?.read?.certificate) +
    signatureText(image) +
    metadataText(image)
  );
}

function line(name: string, text: string): string {
  return `${oneLine(name).padEnd(8)} ${oneLine(text)}\n`;
}

function oneLine(text: string): string {
  return escapeControl(text).replaceAll("\n", "\\x0a");
}

function signatureText({ eif, signature }: Described): string {
  if (signature === undefined) return line("signed", "no");
  const { read, whyNot, section } = signature;
  if (read === undefined) return line("signed", `unreadable: ${whyNot}`);
  const { certificate } = read;
  const state = whyNot === undefined ? "yes, the signature is valid" : `invalid signature: ${whyNot}`;
  const validity = validityAt(certificate, new Date());
  return (
    line("signed", `${state} (${sectionText(eif, section)})`) +
    line("by", certificate.subject) +
    line("valid", `${certificate.notBefore.text} to ${certificate.notAfter.text} (${validity} now)`)
  );
}

function metadataText({ metadata, eif }: Described): string {
  if (!eif.sections.some(({ name }) => name === "metadata")) return line("metadata", "none");
  if (metadata === undefined) return line("metadata", "not a JSON object");
  const { imageName, imageVersion, build, dockerInfo, custom } = metadata;
  const rows: [string, unknown][] = [
    ["name", imageName],
    ["version", imageVersion],
    ...Object.entries(build ?? {}),
    ["docker", dockerInfo ?? undefined],
    ["custom", custom ?? undefined],
  ];
  const present = rows.filter(([, value]) => value !== undefined && value !== "");
  if (present.length === 0) return line("metadata", "empty");
  const lines = present.map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `  ${line(name, text)}`;
  });
  return `metadata\n${lines.join("")}`;
}
