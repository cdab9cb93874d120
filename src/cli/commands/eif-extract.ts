/** `nitro eif extract`: write the sections of an image to files. */
import { extract } from "../../eif/extract.ts";
import { eifContext, IMAGE_ARG, imageOperand, JSON_ARG } from "./eif-context.ts";
import { bytesText, jsonText } from "./eif-report.ts";
import { defineSubcommand } from "./subcommand.ts";

/** The command. */
export const eifExtract = defineSubcommand({
  meta: {
    name: "eif extract",
    description: "write the sections of an image to files",
    usage: ["eif extract IMAGE [-o DIRECTORY] [-force]"],
    examples: ["eif extract app.eif -o app"],
    details: [
      "The files are kernel, cmdline, ramdisk-1 and so on, metadata.json, signature.cbor, and certificate.pem from " +
        "the signature. Either all of them are written or none.",
    ],
    exitStatus: "0, or 1 if nothing was written",
    page: "eif",
  },
  args: {
    image: IMAGE_ARG,
    o: {
      type: "string",
      valueHint: "DIRECTORY",
      description: "where to write; created if missing (default: .)",
    },
    force: { type: "boolean", description: "replace existing files" },
    json: JSON_ARG,
  },
  run({ context, args }) {
    const image = imageOperand(args, "eif extract");
    const directory = args.last("o") ?? ".";
    const files = extract(eifContext(context), { image, directory, force: args.has("force") });
    const output = args.has("json")
      ? jsonText({ Files: files.map(({ path, size }) => ({ Path: path, Size: size })) })
      : files.map(({ path, size }) => `${path}: ${bytesText(size)}\n`).join("");
    return { output };
  },
});
