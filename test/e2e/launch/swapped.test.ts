/**
 * Images that are replaced after nitro has checked them and before it reads them into memory (TOCTOU). The tests stop
 * nitro in between, and keep sizes and CRC the same where that is possible.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { SigningPlace, signedByOpenssl } from "../../unit/eif/signing.ts";
import { crcOf, type EifPart, eifOf, fakeInitrd, fakeKernel, withCrc } from "./images.ts";
import {
  COMMAND_LINE,
  entries,
  eventually,
  expectNothingLeft,
  LIVE_MS,
  NITRO,
  notHere,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
const signing = new SigningPlace();
afterAll(() => here[Symbol.dispose]());
afterAll(() => signing[Symbol.dispose]());

const text = (content: string) => new TextEncoder().encode(content);
const kernel = fakeKernel(200_000);
const PARTS: readonly EifPart[] = [
  { type: "kernel", bytes: kernel },
  { type: "cmdline", bytes: text(COMMAND_LINE) },
  { type: "ramdisk", bytes: fakeInitrd() },
];
const METADATA: EifPart = { type: "metadata", bytes: text("{}          ") };
const sha384 = (...parts: Uint8Array[]) => {
  const hash = new Bun.CryptoHasher("sha384");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

function isStopped(pid: number): boolean {
  return / T /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
}

/** Launches the image, and calls `swap` when it has been checked and is not yet in memory. */
async function launchWith(args: readonly string[], swap: () => void) {
  const signals = [{ at: "exit NE_CREATE_VM", signal: "SIGSTOP" }];
  const scenario = { signals, enclave: { heartbeatMs: 1, liveMs: LIVE_MS } };
  const parent = startLaunch({ command: [NITRO, ...args, "-m", "64M"], scenario });
  await eventually("the launcher to be stopped", () => {
    const pid = parent.commandPid();
    return pid !== undefined && isStopped(pid);
  });
  swap();
  parent.kill("SIGCONT");
  const result = await parent.finished();
  expectNothingLeft(result);
  expect(entries(result, "NE_CREATE_VM")).toHaveLength(1);
  return result;
}

function refusal(path: string, how: string): string {
  return (
    `nitro: -kernel ${path}: the file changed while it was being read: ${how}\n` +
    "hint: run the command again once the file is complete\n"
  );
}

describe.concurrent.skipIf(notHere !== undefined)("replaced image", () => {
  test("replaced image: the same bytes are launched", async () => {
    const path = here.file("same.eif", eifOf([...PARTS, METADATA]));
    const result = await launchWith(["-kernel", path], () => writeFileSync(path, readFileSync(path)));
    expect(entries(result, "NE_START_ENCLAVE")).toHaveLength(1);
  });

  test("replaced image: other bytes are refused", async () => {
    const good = eifOf([...PARTS, METADATA]);
    const path = here.file("bytes.eif", good);
    const evil = good.slice();
    evil[100_000] = (evil[100_000] ?? 0) ^ 1;
    const result = await launchWith(["-kernel", path], () => writeFileSync(path, evil));
    expect(result.stderr).toMatch(
      /the file changed while it was being read: its CRC-32 is 0x[0-9a-f]{8} now, it/,
    );
    expect([result.status, entries(result, "NE_SET_USER_MEMORY_REGION")]).toEqual([1, []]);
  });

  test("replaced image: the same CRC with other sections is refused", async () => {
    const good = eifOf([...PARTS, METADATA]);
    const path = here.file("table.eif", good);
    // The command line is a byte shorter, in the file header and in its own.
    const evil = good.slice();
    const view = new DataView(evil.buffer);
    const length = BigInt(COMMAND_LINE.length - 1);
    view.setBigUint64(284 + 8, length);
    view.setBigUint64(Number(view.getBigUint64(28 + 8)) + 4, length);
    const forged = withCrc(evil, crcOf(good));
    const result = await launchWith(["-kernel", path], () => writeFileSync(path, forged));
    expect(result.stderr).toBe(refusal(path, "its sections are not the ones that were checked"));
    expect([result.status, entries(result, "NE_SET_USER_MEMORY_REGION")]).toEqual([1, []]);
  });

  test("replaced image: the same CRC with another kernel is measured as the new image", async () => {
    const good = eifOf([...PARTS, METADATA]);
    const path = here.file("kernel.eif", good);
    const rest = [text(COMMAND_LINE), fakeInitrd()];
    const pcr0 = sha384(new Uint8Array(48), sha384(kernel, ...rest));
    const other = kernel.slice();
    other[100_000] = (other[100_000] ?? 0) ^ 1;
    const evil = eifOf([{ type: "kernel", bytes: other }, ...PARTS.slice(1), METADATA]);
    const forged = withCrc(evil, crcOf(good));
    const expected = `nitro,expect-pcr0=${Buffer.from(pcr0).toString("hex")}`;
    const found = sha384(new Uint8Array(48), sha384(other, ...rest));
    const args = ["-kernel", path, "-accel", expected];
    const result = await launchWith(args, () => writeFileSync(path, forged));
    expect(result.stderr).toContain(`the image's PCR0 is ${Buffer.from(found).toString("hex")}, not `);
    expect([result.status, entries(result, "NE_SET_USER_MEMORY_REGION")]).toEqual([1, []]);
  });

  test("replaced image: the same CRC with another signature is refused, because PCR8 is the first one's", async () => {
    const pair = signing.pair({ name: "signer" });
    const pcr0 = sha384(new Uint8Array(48), sha384(...PARTS.map(({ bytes }) => bytes)));
    const section = signedByOpenssl(signing, pair, pcr0);
    const imageOf = (signature: Uint8Array) =>
      eifOf([...PARTS, { type: "signature", bytes: signature }, METADATA]);
    const good = imageOf(section);
    const path = here.file("signed.eif", good);
    const other = section.slice();
    other[other.length - 1] = (other[other.length - 1] ?? 0) ^ 1;
    const forged = withCrc(imageOf(other), crcOf(good));
    const result = await launchWith(["-kernel", path], () => writeFileSync(path, forged));
    expect(result.stderr).toBe(refusal(path, "its signature is not the one that was checked"));
    expect([result.status, entries(result, "NE_SET_USER_MEMORY_REGION")]).toEqual([1, []]);
  });

  test("replaced image: a longer image and a longer ramdisk are refused", async () => {
    const eif = eifOf([...PARTS, METADATA]);
    const path = here.file("grown.eif", eif);
    const image = await launchWith(["-kernel", path], () => appendFileSync(path, "more"));
    expect(image.stderr).toBe(refusal(path, `its size is ${eif.length + 4} bytes now, it was ${eif.length}`));
    const ramdisk = here.file("grown", fakeInitrd(5_000));
    const pieces = ["-kernel", here.kernel, "-initrd", ramdisk];
    const result = await launchWith(pieces, () => appendFileSync(ramdisk, "more"));
    expect(result.stderr).toStartWith(
      `nitro: -initrd ${ramdisk}: the file changed while it was being read: its size is 5004 bytes now, it was 5000\n`,
    );
    expect([image.status, result.status]).toEqual([1, 1]);
  });
});
