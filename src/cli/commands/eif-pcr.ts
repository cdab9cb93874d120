/** `nitro eif pcr`: print the PCRs of images, certificates, roles and instances. */
import { pcrHex, pcrOfCertificate, pcrOfText } from "../../eif/format/measurement.ts";
import { contentPcrs, type ImagePcrs, imagePcrs } from "../../eif/pcr.ts";
import { openCertificate } from "../../eif/signing/signer.ts";
import { UserError } from "../../sys/errors.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import { eifContext, JSON_ARG } from "./eif-context.ts";
import { jsonText } from "./eif-report.ts";
import { imageSources, SOURCE_ARGS } from "./image-sources.ts";
import { defineSubcommand, type SubcommandCall, type SubcommandResult } from "./subcommand.ts";

/** The command. */
export const eifPcr = defineSubcommand({
  meta: {
    name: "eif pcr",
    description: "print the PCRs that an enclave will attest",
    usage: ["eif pcr IMAGE", "eif pcr -kernel FILE [-initrd FILE] [-append TEXT]", "eif pcr [option...]"],
    examples: [
      "eif pcr app.eif",
      "eif pcr -kernel bzImage -initrd initrd.cpio.gz -append console=ttyS0",
      "eif pcr -role-arn arn:aws:iam::123456789012:role/Webserver",
    ],
    details: ["In debug mode the attested PCRs 0, 1, 2 and 8 are zero."],
    exitStatus: "0, or 1 on an error",
    page: "eif",
  },
  args: {
    image: {
      type: "positional",
      required: false,
      valueHint: "IMAGE",
      description: "PCR0, PCR1, PCR2 and PCR8 of an EIF",
    },
    ...SOURCE_ARGS,
    "signing-certificate": { type: "string", valueHint: "FILE", description: "PCR8 of a certificate in PEM" },
    "role-arn": { type: "string", valueHint: "ARN", description: "PCR3 of the parent instance's IAM role" },
    "instance-id": { type: "string", valueHint: "ID", description: "PCR4 of the parent instance" },
    json: JSON_ARG,
  },
  run,
});

async function run({ context: subcommand, args }: SubcommandCall): Promise<SubcommandResult> {
  const context = eifContext(subcommand);
  const pcrs = new Map<string, Uint8Array>();
  const [image] = args.operands;
  const source = Object.keys(SOURCE_ARGS).find((name) => args.has(name));
  if (image !== undefined && source !== undefined)
    throw new UserError(`-${source}`, `conflicts with the image ${image}`, "leave one of them out");
  const certificate = args.last("signing-certificate");
  const others = otherPcrs(args);
  if (image !== undefined) addImage(pcrs, imagePcrs(context, image));
  if (source !== undefined) addImage(pcrs, await contentPcrs(context, imageSources(args)));
  for (const [name, pcr] of others) pcrs.set(name, pcr);
  if (certificate !== undefined)
    pcrs.set("PCR8", pcrOfCertificate(openCertificate(context.system, certificate).certificate.der));
  if (pcrs.size === 0) throw new UserError("eif pcr", "no image given", "nitro eif pcr app.eif");
  const sorted = [...pcrs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, pcr]) => [name, pcrHex(pcr)] as const);
  if (!args.has("json")) return { output: sorted.map(([name, hex]) => `${name} ${hex}\n`).join("") };
  return {
    output: jsonText({ Measurements: { HashAlgorithm: "Sha384 { ... }", ...Object.fromEntries(sorted) } }),
  };
}

function addImage(rows: Map<string, Uint8Array>, { pcrs, certificate }: ImagePcrs): void {
  rows.set("PCR0", pcrs.pcr0).set("PCR1", pcrs.pcr1).set("PCR2", pcrs.pcr2);
  if (certificate !== undefined) rows.set("PCR8", pcrOfCertificate(certificate.der));
}

/** PCR3 is measured from the role's ARN; the instance profile that contains the role is often given instead. */
const ROLE = /^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[!-~]+$/;
const INSTANCE = /^i-([0-9a-f]{8}|[0-9a-f]{17})$/;

function otherPcrs(args: SubcommandArgs): [string, Uint8Array][] {
  const [role, instance] = [args.last("role-arn"), args.last("instance-id")];
  if (role !== undefined && !ROLE.test(role)) throw notRole(role);
  if (instance !== undefined && !INSTANCE.test(instance))
    throw new UserError(
      `-instance-id ${instance}`,
      "not an instance ID",
      "use an id such as i-1234567890abcdef0",
    );
  const pcrs: [string, Uint8Array][] = [];
  if (role !== undefined) pcrs.push(["PCR3", pcrOfText(role)]);
  if (instance !== undefined) pcrs.push(["PCR4", pcrOfText(instance)]);
  return pcrs;
}

function notRole(text: string): UserError {
  const what = `-role-arn ${text}`;
  if (!text.includes(":instance-profile/"))
    return new UserError(
      what,
      "not the ARN of an IAM role",
      "use an ARN such as arn:aws:iam::123456789012:role/Webserver",
    );
  const profile = text.split("/").at(-1);
  const hint = `aws iam get-instance-profile --instance-profile-name ${profile} shows the ARN of the role`;
  return new UserError(what, "this is an instance profile, not the role in it", hint);
}
