/** `nitro eif sign` and `nitro eif verify`: their words, and what they print. */
import type { ArgsDef } from "citty";
import { measurements } from "../../eif/describe.ts";
import { type Signed, type SigningWay, sign } from "../../eif/signing/sign.ts";
import { verify } from "../../eif/verify.ts";
import { UserError } from "../../sys/errors.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";
import type { Printed } from "./command.ts";
import type { EifSurroundings } from "./eif.ts";
import { eifCommand, forPrograms, imageWord } from "./eif-arguments.ts";
import { lastOf, needed } from "./eif-contents.ts";
import { certificateLine, jsonText, pcrLines } from "./eif-text.ts";

const SIGN_TABLE = {
  "signing-certificate": { type: "string", valueHint: "FILE", description: "the certificate, in PEM" },
  "private-key": {
    type: "string",
    valueHint: "FILE",
    description: "its key, in PEM: EC of P-256, P-384 or P-521",
  },
  "to-be-signed": {
    type: "string",
    valueHint: "FILE",
    description:
      "first of two steps: writes what is to be signed (- is standard output); the image stays as it is",
  },
  signature: {
    type: "string",
    valueHint: "FILE",
    description: "second step: puts in a signature that was made elsewhere, in DER or as R and S",
  },
  o: {
    type: "string",
    valueHint: "FILE",
    description: "the signed image (default: in place of the old one)",
  },
} as const satisfies ArgsDef;

/** The command that signs. */
export const eifSign = eifCommand({
  name: "sign",
  description: "signs an enclave image, or signs it anew",
  usage: "IMAGE -signing-certificate FILE -private-key FILE | -to-be-signed FILE | -signature FILE",
  table: SIGN_TABLE,
  more:
    "\nTwo steps, with a key in AWS KMS:\n" +
    "  nitro eif sign app.eif -signing-certificate cert.pem -to-be-signed message\n" +
    "  aws kms sign --key-id ID --signing-algorithm ECDSA_SHA_384 --message-type RAW --message fileb://message \\\n" +
    "    --query Signature --output text | base64 -d > signature\n" +
    "  nitro eif sign app.eif -signing-certificate cert.pem -signature signature\n",
  run: runSign,
});

function runSign(around: EifSurroundings, words: SubcommandArgs): Printed {
  const image = imageWord(words, "sign");
  const way = wayOf(words);
  const output = lastOf(words, "o");
  if (output !== undefined && way.kind === "ask") {
    throw new UserError(
      `-o ${output}`,
      "the first of two steps makes no image",
      "leave it to the step with -signature",
    );
  }
  const stdoutTaken = output === "-" || (way.kind === "ask" && way.output === "-");
  if (stdoutTaken && forPrograms(words)) {
    throw new UserError("-json", "standard output carries what is written", "name a file in place of -");
  }
  const signed = sign(around, { image, output, way }, around.stdout);
  const text = forPrograms(words) ? signedJson(signed) : signedText(output ?? image, signed);
  if (!stdoutTaken) return { print: text };
  for (const line of text.trimEnd().split("\n")) around.report(line);
  return { print: "" };
}

function wayOf(words: SubcommandArgs): SigningWay {
  const names = ["private-key", "to-be-signed", "signature"] as const;
  const given = names.filter((name) => words.values.has(name));
  const certificate = needed(
    words,
    "signing-certificate",
    "an image is signed for one",
    "-signing-certificate cert.pem",
  );
  const [first, second] = given;
  if (second !== undefined) {
    throw new UserError(`-${second}`, `-${first} is another way to sign`, "leave out one of them");
  }
  const output = lastOf(words, "to-be-signed");
  if (output !== undefined) return { kind: "ask", certificate, output };
  const signature = lastOf(words, "signature");
  if (signature !== undefined) return { kind: "answer", certificate, signature };
  const privateKey = lastOf(words, "private-key");
  if (privateKey === undefined) {
    throw new UserError(
      "-private-key",
      "missing; an image is signed with a key",
      "-private-key key.pem; or, for a key in a KMS or HSM, -to-be-signed FILE and then -signature FILE",
    );
  }
  return { kind: "key", files: { privateKey, certificate } };
}

function signedJson({ measurement, certificate, asked }: Signed): string {
  const Measurements = measurements(measurement, certificate);
  return jsonText(asked === undefined ? { Measurements } : { Measurements, ToBeSigned: digestOf(asked) });
}

function digestOf({ algorithm, structure }: NonNullable<Signed["asked"]>): Record<string, string> {
  const digest = new Bun.CryptoHasher(algorithm.hash).update(structure).digest("hex");
  return { Algorithm: algorithm.name, Digest: digest };
}

function signedText(name: string, { measurement, certificate, asked }: Signed): string {
  const pcrs = pcrLines(measurement, certificate);
  if (asked === undefined) return `${name}: signed by ${certificateLine(certificate)}\n${pcrs}`;
  const { Algorithm, Digest } = digestOf(asked);
  return `${name}: to be signed with ${Algorithm}; ${asked.algorithm.hash} ${Digest}\n${pcrs}`;
}

const SHOW = "nitro eif describe shows the certificate that is in it, nitro eif sign puts in another";

/** The command that verifies. */
export const eifVerify = eifCommand({
  name: "verify",
  description: "checks an enclave image: its CRC, its signature, and the certificate's dates",
  usage: "IMAGE [-signing-certificate FILE]",
  table: {
    "signing-certificate": {
      type: "string",
      valueHint: "FILE",
      description: "it must be signed with this certificate; without it, any will do",
    },
  },
  more: "\nexit status: 0 it holds, 1 it does not\n",
  run(around, words) {
    const image = imageWord(words, "verify");
    const verdict = verify(around, { image, certificate: lastOf(words, "signing-certificate") });
    const { whyNot, measurement, certificate } = verdict;
    if (forPrograms(words)) {
      const Measurements = measurements(measurement, certificate);
      const failed = whyNot === undefined ? {} : { Reason: whyNot };
      return {
        print: jsonText({ Verified: whyNot === undefined, ...failed, Measurements }),
        status: whyNot === undefined ? 0 : 1,
      };
    }
    if (whyNot !== undefined)
      throw new UserError(image, whyNot, certificate === undefined ? undefined : SHOW);
    if (certificate === undefined) throw new UserError(image, "it is not signed", "nitro eif sign signs it");
    return {
      print: `${image}: signed by ${certificateLine(certificate)}\n${pcrLines(measurement, certificate)}`,
    };
  },
});
