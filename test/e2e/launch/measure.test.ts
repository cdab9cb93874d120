/**
 * PCRs at a launch: printed, expected, refused before memory is donated; and signatures that the hypervisor rejects.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { type Pair, SigningPlace, signedByOpenssl } from "../../unit/eif/signing.ts";
import { MonitorClient } from "../monitor/client.ts";
import { type EifPart, eifOf, fakeInitrd, fakeKernel } from "./images.ts";
import {
  COMMAND_LINE,
  entries,
  expectNothingLeft,
  LIVE_MS,
  launch,
  lines,
  NITRO,
  notHere,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
const signing = new SigningPlace();
afterAll(() => here[Symbol.dispose]());
afterAll(() => signing[Symbol.dispose]());

const quick = { enclave: { console: ["hello"], heartbeatMs: 1, liveMs: LIVE_MS } };
const sha384 = (...parts: (Uint8Array | string)[]) => {
  const hash = createHash("sha384");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};
/** PCR = SHA384(48 zeros, SHA384(content)). */
const pcr = (...content: (Uint8Array | string)[]) => sha384(new Uint8Array(48), sha384(...content));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const second = fakeInitrd(40_000).reverse();
const [kernel, initrd] = [fakeKernel(), fakeInitrd()];
const KNOWN =
  "940c28746aa8f525df49dbf0647efecd2fc9edda8d671e6f652bb45d50de0bb17d0f03fe502bde2cb876e642389fb0e9";
const NOTHING = hex(pcr());
/** The PCRs of kernel, ramdisk and command line with a second ramdisk. */
const two = {
  pcr0: hex(pcr(kernel, COMMAND_LINE, initrd, second)),
  pcr1: KNOWN,
  pcr2: hex(pcr(second)),
};
const pieces = ["-kernel", here.kernel, "-initrd", here.initrd, "-append", COMMAND_LINE, "-m", "64M"];
const more = ["-M", `ramdisk=${here.file("second", second)}`];
const text = (content: string) => new TextEncoder().encode(content);

/** Returns an image in AWS's order, with metadata in between and an optional signature. */
function awsImage(signature?: Uint8Array): Uint8Array {
  const parts: EifPart[] = [
    { type: "kernel", bytes: kernel },
    { type: "cmdline", bytes: text(COMMAND_LINE) },
    { type: "metadata", bytes: text('{"ImageName":"x"}') },
    { type: "ramdisk", bytes: initrd },
    { type: "ramdisk", bytes: second },
  ];
  if (signature !== undefined) parts.push({ type: "signature", bytes: signature });
  return eifOf(parts);
}

const pcrLines = (values: Readonly<Record<string, string>>) =>
  Object.entries(values).map(([name, value]) => `nitro: ${name.toUpperCase()}: ${value}`);

describe.concurrent.skipIf(notHere !== undefined)("measure=on", () => {
  const eif = here.file("aws.eif", awsImage());
  const cases = [
    { name: "one ramdisk", args: pieces, pcrs: { pcr0: KNOWN, pcr1: KNOWN, pcr2: NOTHING } },
    { name: "two ramdisks", args: [...pieces, ...more], pcrs: two },
    { name: "an EIF in AWS's order", args: ["-kernel", eif, "-m", "64M"], pcrs: two },
    {
      name: "a kernel alone",
      args: ["-kernel", here.kernel, "-m", "64M"],
      pcrs: { pcr0: hex(pcr(kernel)), pcr1: hex(pcr(kernel)), pcr2: NOTHING },
    },
  ];
  for (const { name, args, pcrs } of cases) {
    test(`measure=on: prints the PCRs of ${name} after the start`, async () => {
      const result = await launch([NITRO, ...args, "-accel", "nitro,measure=on"], quick);
      const [started, ...rest] = lines(result.stderr);
      expect(started).toStartWith("nitro: enclave started: ");
      expect(rest.slice(0, -1)).toEqual(pcrLines(pcrs));
      expectNothingLeft(result);
    });
  }

  test("measure=on: adds that an enclave in debug mode attests zeros", async () => {
    const result = await launch([NITRO, ...pieces, "-accel", "nitro,measure=on,debug-mode=on"], quick);
    expect(lines(result.stderr)[4]).toBe(
      "nitro: in debug mode the enclave attests zeros instead of these PCRs",
    );
  });

  test("measure=on: monitors report the PCRs", async () => {
    const args = ["-accel", "nitro,measure=on", "-monitor", "unix:hmp.sock,server=on,wait=off"];
    const parent = startLaunch({ command: [NITRO, ...pieces, ...more, ...args], cwd: here.directory });
    const client = await MonitorClient.connect(here.path("hmp.sock"));
    await client.until(/\(qemu\) $/);
    for (const [name, value] of Object.entries(two)) {
      client.send(`qom-get /machine/accel ${name}\n`);
      expect(await client.until(/\(qemu\) $/)).toContain(`"${value}"\r\n`);
    }
    client.send("qom-get /machine/accel pcr8\n");
    expect(await client.until(/\(qemu\) $/)).toContain("Error: Property 'nitro-accel.pcr8' not found");
    client.send("quit\n");
    expectNothingLeft(await parent.finished());
  });
});

describe.concurrent.skipIf(notHere !== undefined)("expect-pcr", () => {
  const right = [
    `expect-pcr0=${two.pcr0}`,
    `expect-pcr1=${two.pcr1.toUpperCase()}`,
    `expect-pcr0=${two.pcr0},expect-pcr1=${two.pcr1},expect-pcr2=${two.pcr2},expect-pcr8=${"0".repeat(96)}`,
    // The last value of a repeated property counts, as in QEMU.
    `expect-pcr0=${"0".repeat(96)},expect-pcr0=${two.pcr0}`,
  ];
  for (const [index, asked] of right.entries()) {
    test(`expect-pcr: the image's own PCRs let it launch, and print nothing (${index})`, async () => {
      const result = await launch([NITRO, ...pieces, ...more, "-accel", `nitro,${asked}`], quick);
      expect(lines(result.stderr)).toHaveLength(2);
      expect(entries(result, "NE_START_ENCLAVE")).toHaveLength(1);
      expectNothingLeft(result);
    });
  }

  const wrong = [
    { index: 0, asked: KNOWN, found: two.pcr0 },
    { index: 1, asked: two.pcr0, found: two.pcr1 },
    { index: 2, asked: NOTHING, found: two.pcr2 },
    { index: 8, asked: KNOWN, found: `${"0".repeat(96)} (it is not signed)` },
  ];
  for (const image of ["pieces", "eif"] as const) {
    for (const { index, asked, found } of wrong) {
      test(`expect-pcr: ${index} with another PCR of ${image} is refused before memory is donated`, async () => {
        const args = image === "eif" ? ["-kernel", here.file("a.eif", awsImage())] : [...pieces, ...more];
        const result = await launch([NITRO, ...args, "-accel", `nitro,expect-pcr${index}=${asked}`], quick);
        expect(result.status).toBe(1);
        expect(lines(result.stderr)[0]).toBe(
          `nitro: -accel nitro,expect-pcr${index}=: the image's PCR${index} is ${found}, not ${asked}; ` +
            "no memory was donated",
        );
        expect(entries(result, "NE_SET_USER_MEMORY_REGION")).toEqual([]);
        expectNothingLeft(result);
      });
    }
  }
});

describe.concurrent.skipIf(notHere !== undefined)("signed image", () => {
  const pcr0 = pcr(kernel, COMMAND_LINE, initrd, second);
  const dates = {
    good: { from: "20200101000000Z", to: "21200101000000Z" },
    expired: { from: "20200101000000Z", to: "20210203040506Z" },
    early: { from: "21190203040506Z", to: "21200101000000Z" },
  };
  const pairOf = (name: keyof typeof dates): Pair =>
    signing.pair({ name, ...dates[name], subject: "/O=Us/CN=me" });
  const good = pairOf("good");
  const goodSection = signedByOpenssl(signing, good, pcr0);
  const put = (name: string, section: Uint8Array) => here.file(`${name}.eif`, awsImage(section));

  test("signed image: launches, and its certificate determines PCR8", async () => {
    const pcr8 = hex(pcr(signing.der(good.certificate)));
    const accel = `nitro,measure=on,expect-pcr8=${pcr8}`;
    const result = await launch(
      [NITRO, "-kernel", put("good", goodSection), "-m", "64M", "-accel", accel],
      quick,
    );
    expect(lines(result.stderr).slice(1, 5)).toEqual(pcrLines({ ...two, pcr8 }));
    expectNothingLeft(result);
  });

  const invalid = [
    { name: "expired" as const, when: "expired on Feb  3 04:05:06 2021 GMT" },
    { name: "early" as const, when: "is not valid before Feb  3 04:05:06 2119 GMT" },
  ];
  for (const { name, when } of invalid) {
    test(`signed image: a certificate that ${when} is refused before the device is opened`, async () => {
      const path = put(name, signedByOpenssl(signing, pairOf(name), pcr0));
      const result = await launch([NITRO, "-kernel", path, "-m", "64M"], quick);
      expect(result.status).toBe(1);
      const [first = "", hint] = lines(result.stderr);
      expect(first).toStartWith(
        `nitro: -kernel ${path}: its signing certificate (subject O=Us, CN=me; issuer commonName=me, ` +
          `organizationName=Us) ${when}; this instance's clock says `,
      );
      expect(first).toMatch(
        /; this instance's clock says \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\. The hyper/,
      );
      expect(hint).toStartWith("hint: sign the image with another certificate: nitro eif sign");
      expect(entries(result, "NE_CREATE_VM")).toEqual([]);
      expectNothingLeft(result);
    });
  }

  test("signed image: an invalid signature is refused", async () => {
    const damaged = goodSection.slice();
    // The last byte of S: the COSE_Sign1 is at the end of the section, an array of integers of one or two bytes.
    const last = damaged.length - 1;
    damaged[last] = (damaged[last] ?? 0) ^ 1;
    const result = await launch([NITRO, "-kernel", put("damaged", damaged)], quick);
    expect(lines(result.stderr)[0]).toMatch(
      /: not a valid EIF: the signature in section 5 \(signature, type 4\) at byte \d+ is not valid: it does not match the certificate's key, or its content was changed$/,
    );
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
    const garbage = await launch([NITRO, "-kernel", put("garbage", text("no CBOR at all"))], quick);
    expect(lines(garbage.stderr)[0]).toMatch(
      /: not a valid EIF: section 5 \(signature, type 4\) at byte \d+ is not valid CBOR: /,
    );
  });

  test("signed image: the signature of another image is refused when the image is measured", async () => {
    const path = put("other", signedByOpenssl(signing, good, pcr(kernel)));
    const result = await launch([NITRO, "-kernel", path, "-m", "64M", "-accel", "nitro,measure=on"], quick);
    expect(result.status).toBe(1);
    expect(lines(result.stderr)[0]).toBe(
      `nitro: -kernel ${path}: its signature is not valid: it signs a PCR0 that is not this image's`,
    );
    expect(entries(result, "NE_SET_USER_MEMORY_REGION")).toEqual([]);
    expectNothingLeft(result);
  });
});
