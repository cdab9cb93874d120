/** `nitro eif pcr`: its words, and what it prints. */

import { pcrHex, pcrOfCertificate, pcrOfText } from "../../eif/format/measurement.ts";
import { contentPcrs, type ImagePcrs, imagePcrs } from "../../eif/pcr.ts";
import { openCertificate } from "../../eif/signing/signer.ts";
import { UserError } from "../../sys/errors.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import type { Printed } from "./command.ts";
import type { EifSurroundings } from "./eif.ts";
import { eifCommand, forPrograms } from "./eif-arguments.ts";
import { CONTENT_ARGUMENTS, CONTENT_REPEATABLE, lastOf, positionals, readContents } from "./eif-contents.ts";
import { jsonText } from "./eif-text.ts";

const USAGE = "[IMAGE | -kernel FILE [-initrd FILE] [-append TEXT]] [option...]";

/** The command. */
export const eifPcr = eifCommand({
  name: "pcr",
  description: "tells the PCRs that an enclave will attest",
  usage: USAGE,
  table: {
    ...CONTENT_ARGUMENTS,
    "signing-certificate": { type: "string", valueHint: "FILE", description: "PCR8 of a certificate in PEM" },
    "role-arn": { type: "string", valueHint: "ARN", description: "PCR3 of the parent instance's IAM role" },
    "instance-id": { type: "string", valueHint: "ID", description: "PCR4 of the parent instance" },
  },
  repeatable: CONTENT_REPEATABLE,
  more: "\nIn debug mode an enclave attests zeros.\n",
  run: runPcr,
});

async function runPcr(around: EifSurroundings, words: SubcommandArgs): Promise<Printed> {
  const rows = new Map<string, Uint8Array>();
  const [image] = positionals(words, 1, "one image at a time");
  const ofContents = Object.keys(CONTENT_ARGUMENTS).find((name) => words.values.has(name));
  if (image !== undefined && ofContents !== undefined) {
    throw new UserError(
      `-${ofContents}`,
      `${image} is an image, which has its own contents`,
      "leave out one of them",
    );
  }
  const certificate = lastOf(words, "signing-certificate");
  const others = otherPcrs(words);
  if (image !== undefined) addImage(rows, imagePcrs(around, image));
  if (ofContents !== undefined) addImage(rows, await contentPcrs(around, readContents(words)));
  for (const [name, pcr] of others) rows.set(name, pcr);
  if (certificate !== undefined)
    rows.set("PCR8", pcrOfCertificate(openCertificate(certificate).certificate.der));
  if (rows.size === 0) throw new UserError("eif pcr", "nothing is named", `nitro eif pcr ${USAGE}`);
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
  if (!forPrograms(words)) return { print: sorted.map(([name, pcr]) => `${name} ${pcrHex(pcr)}\n`).join("") };
  const Measurements = {
    HashAlgorithm: "Sha384 { ... }",
    ...Object.fromEntries(sorted.map(([n, p]) => [n, pcrHex(p)])),
  };
  return { print: jsonText({ Measurements }) };
}

function addImage(rows: Map<string, Uint8Array>, { measurement, certificate }: ImagePcrs): void {
  rows.set("PCR0", measurement.pcr0).set("PCR1", measurement.pcr1).set("PCR2", measurement.pcr2);
  if (certificate !== undefined) rows.set("PCR8", pcrOfCertificate(certificate.der));
}

/** A role, not the instance profile that holds it, which people mistake for one. */
const ROLE = /^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[!-~]+$/;
const INSTANCE = /^i-([0-9a-f]{8}|[0-9a-f]{17})$/;

function otherPcrs(words: SubcommandArgs): [string, Uint8Array][] {
  const rows: [string, Uint8Array][] = [];
  const [role, instance] = [lastOf(words, "role-arn"), lastOf(words, "instance-id")];
  if (role !== undefined && !ROLE.test(role)) {
    const profile = role.includes(":instance-profile/");
    throw new UserError(
      `-role-arn ${role}`,
      profile ? "it is an instance profile, not the role in it" : "no ARN of an IAM role",
      profile
        ? `aws iam get-instance-profile --instance-profile-name ${role.split("/").at(-1)} shows the role's Arn`
        : "arn:aws:iam::123456789012:role/Webserver is one",
    );
  }
  if (instance !== undefined && !INSTANCE.test(instance)) {
    throw new UserError(`-instance-id ${instance}`, "no id of an instance", "i-1234567890abcdef0 is one");
  }
  if (role !== undefined) rows.push(["PCR3", pcrOfText(role)]);
  if (instance !== undefined) rows.push(["PCR4", pcrOfText(instance)]);
  return rows;
}
