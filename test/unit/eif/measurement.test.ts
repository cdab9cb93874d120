import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { SectionName } from "../../../src/eif/format/layout.ts";
import {
  pcrHex,
  pcrOfCertificate,
  pcrOfText,
  startMeasurement,
} from "../../../src/eif/format/measurement.ts";

const text = new TextEncoder();

/** A PCR by its definition, computed by Node: a register of zeros extended by the content's hash. */
function extended(...content: readonly Uint8Array[]): string {
  const inner = createHash("sha384");
  for (const part of content) inner.update(part);
  return createHash("sha384").update(new Uint8Array(48)).update(inner.digest()).digest("hex");
}

function measure(sections: readonly (readonly [SectionName, Uint8Array])[], step = 1 << 20) {
  const measurement = startMeasurement();
  for (const [name, payload] of sections) {
    measurement.startSection(name);
    for (let at = 0; at < payload.length; at += step) measurement.add(payload.subarray(at, at + step));
  }
  const { pcr0, pcr1, pcr2 } = measurement.pcrs();
  return [pcrHex(pcr0), pcrHex(pcr1), pcrHex(pcr2)];
}

function kernelK(): Uint8Array {
  const bytes = new Uint8Array(1_000_003).map((_, i) => (7 * i + 3) % 256);
  bytes.set([0x55, 0xaa], 0x1fe);
  bytes.set(text.encode("HdrS"), 0x202);
  bytes.set([0x0f, 0x02], 0x206);
  return bytes;
}

const PCR2_OF_NOTHING =
  "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a";

describe("PCRs", () => {
  test("PCRs: with one ramdisk PCR0 equals PCR1, and PCR2 is that of no content", () => {
    const initrd = new Uint8Array(65_537).map((_, i) => (13 * i + 5) % 256);
    const known =
      "940c28746aa8f525df49dbf0647efecd2fc9edda8d671e6f652bb45d50de0bb17d0f03fe502bde2cb876e642389fb0e9";
    const sections = [
      ["kernel", kernelK()],
      ["cmdline", text.encode("console=ttyS0 reboot=k")],
      ["ramdisk", initrd],
      ["metadata", text.encode("{}")],
    ] as const;
    expect(measure(sections)).toEqual([known, known, PCR2_OF_NOTHING]);
    expect(measure(sections, 4099)).toEqual([known, known, PCR2_OF_NOTHING]);
  });

  const k = text.encode("kernel");
  const c = text.encode("cmdline");
  const [r1, r2, r3] = [text.encode("one"), text.encode("two"), text.encode("three")];

  test("PCRs: with several ramdisks metadata and signature in between are not measured", () => {
    expect(
      measure([
        ["kernel", k],
        ["cmdline", c],
        ["metadata", text.encode("not measured")],
        ["ramdisk", r1],
        ["signature", text.encode("nor this")],
        ["ramdisk", r2],
        ["ramdisk", r3],
      ]),
    ).toEqual([extended(k, c, r1, r2, r3), extended(k, c, r1), extended(r2, r3)]);
  });

  test("PCRs: sections in an unusual order are measured in the order of the file", () => {
    const sections = [
      ["kernel", k],
      ["ramdisk", r1],
      ["ramdisk", r2],
      ["cmdline", c],
      ["ramdisk", r3],
    ] as const;
    expect(measure(sections)).toEqual([extended(k, r1, r2, c, r3), extended(k, r1, c), extended(r2, r3)]);
  });

  test("PCRs: no ramdisk, empty ones and no section are measured", () => {
    const sections = [
      ["kernel", k],
      ["cmdline", new Uint8Array(0)],
    ] as const;
    const own = extended(k);
    expect(measure(sections)).toEqual([own, own, PCR2_OF_NOTHING]);
    const empty = ["ramdisk", new Uint8Array(0)] as const;
    expect(measure([...sections, empty, empty])).toEqual([own, own, PCR2_OF_NOTHING]);
    expect(measure([])).toEqual([PCR2_OF_NOTHING, PCR2_OF_NOTHING, PCR2_OF_NOTHING]);
  });

  test("PCRs: follow their definition for sections of any kind and number, in chunks of any size", () => {
    const payload = fc.uint8Array({ maxLength: 50 });
    const ramdisks = fc.array(payload, { maxLength: 5 });
    fc.assert(
      fc.property(payload, payload, ramdisks, fc.nat({ max: 20 }), (kernel, cmdline, disks, step) => {
        const [first = new Uint8Array(0), ...others] = disks;
        const sections = [
          ["kernel", kernel] as const,
          ["cmdline", cmdline] as const,
          ...disks.map((disk) => ["ramdisk", disk] as const),
        ];
        expect(measure(sections, step + 1)).toEqual([
          extended(kernel, cmdline, ...disks),
          extended(kernel, cmdline, first),
          extended(...others),
        ]);
      }),
    );
  });

  test("PCRs: can be read before the last section", () => {
    const measurement = startMeasurement();
    measurement.startSection("kernel");
    measurement.add(k);
    expect(pcrHex(measurement.pcrs().pcr0)).toBe(extended(k));
    measurement.startSection("ramdisk");
    measurement.add(r1);
    expect(pcrHex(measurement.pcrs().pcr0)).toBe(extended(k, r1));
  });

  test("PCR3 and PCR8: PCR3 extends the text of a role itself, PCR8 the hash of a certificate", () => {
    expect(pcrHex(pcrOfText("arn:aws:iam::123456789012:role/Webserver"))).toBe(
      "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6",
    );
    expect(pcrHex(pcrOfCertificate(k))).toBe(extended(k));
  });
});
