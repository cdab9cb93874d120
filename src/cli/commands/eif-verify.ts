/** `nitro eif verify`: check an image's CRC, signature and certificate. */
import { measurementsInfo } from "../../eif/describe.ts";
import { verify } from "../../eif/verify.ts";
import { UserError } from "../../sys/errors.ts";
import { eifContext, IMAGE_ARG, imageOperand, JSON_ARG } from "./eif-context.ts";
import { certificateLine, jsonText, pcrLines } from "./eif-report.ts";
import { defineSubcommand, type SubcommandCall, type SubcommandResult } from "./subcommand.ts";

const OTHER_CERTIFICATE = "nitro eif describe shows the certificate in the image, nitro eif sign replaces it";

/** The command. */
export const eifVerify = defineSubcommand({
  meta: {
    name: "eif verify",
    description: "check CRC, signature and certificate of an image",
    usage: ["eif verify IMAGE [-signing-certificate FILE]"],
    examples: ["eif verify app.eif -signing-certificate cert.pem"],
    exitStatus: "0 if the image is valid, else 1",
    page: "eif",
  },
  args: {
    image: IMAGE_ARG,
    "signing-certificate": {
      type: "string",
      valueHint: "FILE",
      description: "the certificate that the image must be signed with, in PEM; else any is accepted",
    },
    json: JSON_ARG,
  },
  run,
});

function run({ context, args }: SubcommandCall): SubcommandResult {
  const image = imageOperand(args, "eif verify");
  const expected = args.last("signing-certificate");
  const { problem, pcrs, certificate } = verify(eifContext(context), { image, certificate: expected });
  if (args.has("json")) {
    const Measurements = measurementsInfo(pcrs, certificate);
    const reason = problem === undefined ? {} : { Reason: problem };
    const output = jsonText({ Verified: problem === undefined, ...reason, Measurements });
    return { output, status: problem === undefined ? 0 : 1 };
  }
  if (problem !== undefined)
    throw new UserError(image, problem, certificate === undefined ? undefined : OTHER_CERTIFICATE);
  if (certificate === undefined) throw new UserError(image, "it is not signed", "nitro eif sign signs it");
  return {
    output: `${image}: signed by ${certificateLine(certificate)}\n${pcrLines(pcrs, certificate)}`,
  };
}
