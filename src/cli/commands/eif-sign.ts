/** `nitro eif sign`: sign an image, or replace its signature. */
import { measurementsInfo } from "../../eif/describe.ts";
import { type SigningMethod, type SigningResult, sign } from "../../eif/sign.ts";
import { UserError } from "../../sys/errors.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import { eifContext, IMAGE_ARG, imageOperand, JSON_ARG } from "./eif-context.ts";
import { certificateLine, jsonText, pcrLines } from "./eif-report.ts";
import { defineSubcommand, type SubcommandCall, type SubcommandResult } from "./subcommand.ts";

/** The command. */
export const eifSign = defineSubcommand({
  meta: {
    name: "eif sign",
    description: "sign an image, or replace its signature",
    usage: [
      "eif sign IMAGE -signing-certificate FILE -private-key FILE",
      "eif sign IMAGE -signing-certificate FILE -to-be-signed FILE",
      "eif sign IMAGE -signing-certificate FILE -signature FILE",
    ],
    examples: ["eif sign app.eif -signing-certificate cert.pem -private-key key.pem"],
    details: [
      "With a key in AWS KMS, sign in two steps:",
      "  nitro eif sign app.eif -signing-certificate cert.pem -to-be-signed message\n" +
        "  aws kms sign --key-id ID --signing-algorithm ECDSA_SHA_384 \\\n" +
        "    --message-type RAW --message fileb://message \\\n" +
        "    --query Signature --output text | base64 -d > signature\n" +
        "  nitro eif sign app.eif -signing-certificate cert.pem -signature signature",
      "A key in an HSM signs in the same two steps; a signature with PKCS #11, in place of aws kms sign:",
      "  pkcs11-tool --sign --mechanism ECDSA-SHA384 --id 01 \\\n    --input-file message --output-file signature",
    ],
    exitStatus: "0, or 1 if nothing was written",
    page: "eif",
  },
  args: {
    image: IMAGE_ARG,
    "signing-certificate": { type: "string", valueHint: "FILE", description: "the certificate, in PEM" },
    "private-key": {
      type: "string",
      valueHint: "FILE",
      description: "its key, in PEM: EC with P-256, P-384 or P-521",
    },
    "to-be-signed": {
      type: "string",
      valueHint: "FILE",
      description:
        "the first of two steps: write the bytes to sign (- is standard output), leave the image unchanged",
    },
    signature: {
      type: "string",
      valueHint: "FILE",
      description: "the second step: insert a signature that was made elsewhere, in DER or as R and S",
    },
    o: { type: "string", valueHint: "FILE", description: "the signed image (default: replace the image)" },
    json: JSON_ARG,
  },
  run,
});

function run({ context, args }: SubcommandCall): SubcommandResult {
  const image = imageOperand(args, "eif sign");
  const method = signingMethod(args);
  const output = args.last("o");
  if (output !== undefined && method.kind === "to-be-signed")
    throw new UserError(
      `-o ${output}`,
      "conflicts with -to-be-signed",
      "use -o in the second step, with -signature",
    );
  const usesStdout = output === "-" || (method.kind === "to-be-signed" && method.output === "-");
  if (usesStdout && args.has("json"))
    throw new UserError("-json", "standard output is used for the file", "name a file instead of -");
  const result = sign(eifContext(context), { image, output, method }, context.stdout);
  const text = args.has("json") ? signedJson(result) : signedText(output ?? image, result);
  if (!usesStdout) return { output: text };
  for (const line of text.trimEnd().split("\n")) context.report(line);
  return { output: "" };
}

function signingMethod(args: SubcommandArgs): SigningMethod {
  const why = "the signature contains the certificate";
  const certificate = args.required("signing-certificate", why, "add -signing-certificate cert.pem");
  const [first, second] = ["private-key", "to-be-signed", "signature"].filter((name) => args.has(name));
  if (second !== undefined)
    throw new UserError(`-${second}`, `conflicts with -${first}`, "leave one of them out");
  const output = args.last("to-be-signed");
  if (output !== undefined) return { kind: "to-be-signed", certificate, output };
  const signature = args.last("signature");
  if (signature !== undefined) return { kind: "signature", certificate, signature };
  const hint =
    "add -private-key key.pem; or, for a key in a KMS or HSM, -to-be-signed FILE and then -signature FILE";
  const privateKey = args.required("private-key", "the signature needs it", hint);
  return { kind: "private-key", files: { privateKey, certificate } };
}

function signedJson({ pcrs, certificate, message }: SigningResult): string {
  const Measurements = measurementsInfo(pcrs, certificate);
  return jsonText(message === undefined ? { Measurements } : { Measurements, ToBeSigned: digestOf(message) });
}

function digestOf({ algorithm, structure }: NonNullable<SigningResult["message"]>): Record<string, string> {
  const digest = new Bun.CryptoHasher(algorithm.hash).update(structure).digest("hex");
  return { Algorithm: algorithm.name, Digest: digest };
}

function signedText(name: string, { pcrs, certificate, message }: SigningResult): string {
  const lines = pcrLines(pcrs, certificate);
  if (message === undefined) return `${name}: signed by ${certificateLine(certificate)}\n${lines}`;
  const { Algorithm, Digest } = digestOf(message);
  return `${name}: to be signed with ${Algorithm}; ${message.algorithm.hash} ${Digest}\n${lines}`;
}
