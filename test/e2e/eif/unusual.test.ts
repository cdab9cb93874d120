/** `nitro eif describe` of images that only AWS's reader reads, and of metadata that JSON parsers change. */
import { afterAll, expect, test } from "bun:test";
import { section, writeEif } from "../../unit/eif/eif-writer.ts";
import { nitro } from "../binary/nitro.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());
const ARM = process.arch === "arm64";

/** Writes an image with this metadata; returns the description as JSON text and as text for people. */
function described(metadata: string): { json: string; text: string } {
  const sections = [section("kernel", "k"), section("cmdline", ""), section("metadata", metadata)];
  here.file("metadata.eif", writeEif({ sections }));
  const [json, text] = [["-json"], []].map((more) => here.eif(["describe", "metadata.eif", ...more]));
  expect([json?.status, text?.status]).toEqual([0, 0]);
  return { json: json?.out ?? "", text: (text?.out ?? "").replace(/ +/g, " ") };
}

test.each([
  "9007199254740993",
  "-12345678901234567890",
  "1e400",
  "0.1000000000000000055",
  "-0",
  "1.0",
  "2E+5",
])("eif describe: prints the number %s in metadata as it stands", (number) => {
  const value = `{"a": [${number}, {"b": ${number}}]}`;
  const { json, text } = described(
    `{"ImageName": "i", "BuildMetadata": {"Build": ${number}}, "DockerInfo": ${value}, "CustomMetadata": ${value}}`,
  );
  for (const key of ["Build", "b"]) expect(json).toContain(`"${key}": ${number}`);
  expect(json.split(number).length).toBe(6);
  for (const row of [
    `Build ${number}`,
    `docker {"a":[${number},{"b":${number}}]}`,
    `custom {"a":[${number},`,
  ])
    expect(text).toContain(` ${row}`);
});

test("eif describe: keys that the user and the builder both have are printed for both", () => {
  const builder = { BuildTime: "theirs", BuildTool: "tool" };
  const of = (custom: unknown) =>
    JSON.parse(
      described(JSON.stringify({ BuildMetadata: builder, DockerInfo: { id: 1 }, CustomMetadata: custom }))
        .json,
    ).Metadata;
  expect(of({ team: "a" })).toEqual({ team: "a", ...builder, DockerInfo: { id: 1 } });
  for (const key of ["BuildTime", "DockerInfo", "CustomMetadata"]) {
    const custom = { [key]: "mine", team: "a" };
    expect(of(custom)).toEqual({ team: "a", ...builder, DockerInfo: { id: 1 }, CustomMetadata: custom });
  }
  expect(of([1])).toEqual({ ...builder, DockerInfo: { id: 1 }, CustomMetadata: [1] });
});

test("eif describe: keys that AWS's tools do not write are printed for people", () => {
  const { text } = described('{"ImageName": 7, "BuildMetadata": "x", "Signer": {"a": 1}}');
  for (const row of ["ImageName 7", "BuildMetadata x", 'Signer {"a":1}']) expect(text).toContain(` ${row}\n`);
});

const three = [section("kernel", "k"), section("cmdline", ""), section("ramdisk", "r")];
const metadata = section("metadata", "{}");
const signature = section("signature", "s");
const VERSION = "(byte 4) is not supported; supported are 2 to 4";
const unusual: readonly (readonly [string, Parameters<typeof writeEif>[0], readonly string[]])[] = [
  ["version 1", { version: 1, sections: three }, [`version 1 ${VERSION}`]],
  ["version 5", { version: 5, sections: [...three, metadata] }, [`version 5 ${VERSION}`]],
  [
    "version 5 without metadata",
    { version: 5, sections: three },
    [`version 5 ${VERSION}`, "none of the 3 sections is a metadata (type 5)"],
  ],
  ["version 4 without metadata", { sections: three }, ["none of the 3 sections is a metadata (type 5)"]],
  [
    "version 3 with metadata",
    { version: 3, sections: [...three, metadata] },
    ["requires version 4; the image has version 3"],
  ],
  [
    "a ramdisk before the kernel",
    { sections: [section("ramdisk", "r"), ...three, metadata] },
    ["precedes the kernel"],
  ],
  [
    "another number of sections than listed",
    { count: 3, sections: [...three, metadata] },
    ["the header lists 3 sections, the file has 4 one after another"],
  ],
  [
    "a section that is listed elsewhere",
    { sections: [...three, { ...metadata, headerOffset: 9n, headerSize: 8n }] },
    ["with 2 bytes as at byte 9 with 8 bytes"],
  ],
  [
    "no command line",
    { sections: [section("kernel", "k"), metadata] },
    ["none of the 2 sections is a cmdline (type 2)"],
  ],
];
test.each(unusual)(
  "eif describe: an image of %s is described with what is unusual, and a launch refuses it",
  (_, spec, notes) => {
    const eif = here.file("unusual.eif", writeEif({ flags: ARM ? 1 : 0, ...spec }));
    for (const more of [[], ["-json"]]) {
      const { out, err, status } = here.eif(["describe", eif, ...more]);
      expect(status).toBe(0);
      const lines = err.split("\n").filter((line) => line.startsWith(`nitro: note: ${eif}: `));
      expect(lines.length).toBe(notes.length);
      notes.forEach((note, i) => {
        expect(lines[i]).toContain(note);
        expect(lines[i]).toEndWith("; a launch refuses the image");
      });
      if (more.length > 0) expect(JSON.parse(out).CheckCRC).toBe(true);
    }
    for (const words of [["verify"], ["pcr"], ["extract"]]) here.refused([...words, eif]);
    expect(nitro(["-kernel", eif]).err).toStartWith(`nitro: -kernel ${eif}: not a valid EIF: `);
  },
);

test("eif describe: the size that AWS's signer leaves in the header is described with a note", () => {
  const sections = [...three, metadata, { ...signature, headerSize: 9n }];
  const { err, status } = here.eif(["describe", here.file("stale.eif", writeEif({ sections }))]);
  expect([status, err]).toEqual([
    0,
    expect.stringMatching(
      /note: \S+stale\.eif: section 4 \(signature, type 4\) at byte \d+ has 1 bytes, the file header says 9: AWS's signer/,
    ),
  ]);
});
