/** `nitro eif describe` and `nitro eif extract`: their words, and what they print. */
import { describe, describeInfo } from "../../eif/describe.ts";
import { extract } from "../../eif/extract.ts";
import { eifCommand, forPrograms, imageWord } from "./eif-arguments.ts";
import { lastOf } from "./eif-contents.ts";
import { bytesText, describeText, jsonText } from "./eif-text.ts";

/** The command that tells. */
export const eifDescribe = eifCommand({
  name: "describe",
  description: "tells what is in an enclave image",
  usage: "IMAGE [-json]",
  table: {},
  more: "\n-json has the keys of AWS's nitro-cli describe-eif.\n",
  async run(around, words) {
    const image = await describe(around, imageWord(words, "describe"));
    return { print: forPrograms(words) ? jsonText(describeInfo(image)) : describeText(image) };
  },
});

/** The command that takes apart. */
export const eifExtract = eifCommand({
  name: "extract",
  description: "writes each section of an enclave image into a file",
  usage: "IMAGE [-o FOLDER]",
  table: {
    o: { type: "string", valueHint: "FOLDER", description: "where to (default: .); it is made if need be" },
    force: { type: "boolean", description: "replaces files that are there" },
  },
  more: "\nFiles: kernel, cmdline, ramdisk-1 …, metadata.json, signature.cbor, and certificate.pem out of that.\n",
  run(around, words) {
    const image = imageWord(words, "extract");
    const directory = lastOf(words, "o") ?? ".";
    const files = extract(around, { image, directory, force: words.values.has("force") });
    if (forPrograms(words))
      return { print: jsonText({ Files: files.map(({ path, size }) => ({ Path: path, Size: size })) }) };
    return { print: files.map(({ path, size }) => `${path}: ${bytesText(size)}\n`).join("") };
  },
});
