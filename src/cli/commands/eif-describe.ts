/** `nitro eif describe`: print what an image contains. */
import { describe, describeInfo } from "../../eif/describe.ts";
import { eifContext, IMAGE_ARG, imageOperand, JSON_ARG } from "./eif-context.ts";
import { describeText, jsonText } from "./eif-report.ts";
import { defineSubcommand } from "./subcommand.ts";

/** The command. */
export const eifDescribe = defineSubcommand({
  meta: {
    name: "eif describe",
    description: "print what an image contains",
    usage: ["eif describe IMAGE [-json]"],
    examples: ["eif describe app.eif", "eif describe -json app.eif"],
    details: ["The JSON has the keys of AWS's nitro-cli describe-eif."],
    exitStatus: "0, or 1 if the image cannot be read",
    page: "eif",
  },
  args: { image: IMAGE_ARG, json: JSON_ARG },
  async run({ context, args }) {
    const image = await describe(eifContext(context), imageOperand(args, "eif describe"));
    return { output: args.has("json") ? jsonText(describeInfo(image)) : describeText(image) };
  },
});
