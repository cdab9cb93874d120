import { describe, expect, test } from "bun:test";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  leastMemory,
  planMemory,
  planVcpus,
  sizeText,
  tightMemory,
} from "../../src/machine/nitro.ts";
import { failureOf } from "../failure-of.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const asked = (value: number, typed: string) => ({ value, typed });

describe("memory without -m", () => {
  test.each([
    [1, 128 * MIB],
    [16 * MIB, 128 * MIB],
    [32 * MIB, 128 * MIB],
    [32 * MIB + 1, 130 * MIB],
    [33 * MIB, 132 * MIB],
    [900 * MIB, 3600 * MIB],
    [5 * GIB + 1, 20 * GIB + 2 * MIB],
  ])("for an image of %d bytes is %d", (image, bytes) => {
    expect(planMemory(undefined, image)).toEqual({
      bytes,
      typed: `-m ${bytes / MIB}M (the default)`,
      pageBytes: 2 * MIB,
    });
  });
});

describe("memory by -m", () => {
  test("is taken as it is when it is whole huge pages", () => {
    expect(planMemory(asked(512 * MIB, "-m 512M"), 1)).toEqual({
      bytes: 512 * MIB,
      typed: "-m 512M",
      pageBytes: 2 * MIB,
    });
  });

  test.each([
    [513 * MIB, "-m 513M", "use -m 512M or -m 514M"],
    [127 * MIB, "-m 127", "use -m 126M or -m 128M"],
    [64 * MIB + 1, "-m 67108865b", "use -m 64M or -m 66M"],
    [65 * MIB, "-m 65", "use -m 64M or -m 66M"],
    [63 * MIB, "-m 63", "use -m 64M"],
    [1, "-m 1b", "use -m 64M"],
    [2 * MIB + 1, "-m 2097153b", "use -m 64M"],
  ])("%d names the neighbours that would do", (bytes, typed, hint) => {
    expect(failureOf(() => planMemory(asked(bytes, typed), 1))).toEqual({
      what: typed,
      why: `${bytes} bytes are not whole huge pages of 2 MiB`,
      hint,
    });
  });
});

describe("an image in its memory", () => {
  const offset = EXPECTED_IMAGE_OFFSET;
  const plan = (mib: number) => ({ bytes: mib * MIB, typed: `-m ${mib}M`, pageBytes: 2 * MIB });

  test("is expected 8 MiB into it", () => {
    expect(offset).toBe(8 * MIB);
  });

  test.each([
    [1, 64],
    [56 * MIB, 64],
    [56 * MIB + 1, 66],
    [100 * MIB, 108],
    [100 * MIB + 1, 110],
  ])("of %d bytes needs %d MiB at least", (image, mib) => {
    expect(leastMemory(offset, image)).toBe(mib * MIB);
    checkFits(plan(mib), offset, image);
  });

  test("that does not fit names the least that would do", () => {
    expect(failureOf(() => checkFits(plan(106), offset, 100 * MIB))).toEqual({
      what: "-m 106M",
      why: `the image has ${100 * MIB} bytes and is loaded 8M into the enclave's memory`,
      hint: "use -m 108M or more (four times the image leaves room to unpack)",
    });
  });

  test("of any size needs the 64 MiB of an enclave", () => {
    expect(failureOf(() => checkFits(plan(62), offset, 1))).toEqual({
      what: "-m 62M",
      why: "an enclave has 64 MiB of memory at least",
      hint: "use -m 64M or more (four times the image leaves room to unpack)",
    });
  });

  test("another offset than the expected one counts", () => {
    expect(failureOf(() => checkFits(plan(128), 64 * MIB, 100 * MIB)).hint).toStartWith(
      "use -m 164M or more",
    );
  });

  test("in less than four times its size is warned about", () => {
    expect(tightMemory(plan(400), 100 * MIB)).toBeUndefined();
    expect(tightMemory(plan(398), 100 * MIB)).toBe(
      `warning: -m 398M is less than four times the image (${100 * MIB} bytes); ` +
        "if the enclave dies while it unpacks its ramdisk, use -m 400M",
    );
  });
});

describe("vCPUs", () => {
  test("without -smp are one full core", () => {
    expect(planVcpus(undefined, 2)).toEqual({ value: 2, typed: "-smp 2 (the default)" });
    expect(planVcpus(undefined, 1)).toEqual({ value: 1, typed: "-smp 1 (the default)" });
  });

  test.each([
    [2, 2],
    [4, 2],
    [1, 1],
    [3, 1],
  ])("%d of cores with %d threads are taken as they are", (value, threads) => {
    expect(planVcpus(asked(value, "-smp N"), threads)).toEqual({ value, typed: "-smp N" });
  });

  test.each([
    [1, 2, "use -smp 2"],
    [3, 2, "use -smp 2 or -smp 4"],
    [5, 4, "use -smp 4 or -smp 8"],
  ])("%d of cores with %d threads name the neighbours", (value, threads, hint) => {
    expect(failureOf(() => planVcpus(asked(value, `-smp ${value}`), threads))).toEqual({
      what: `-smp ${value}`,
      why: `an enclave takes whole cores, which have ${threads} threads on this machine`,
      hint,
    });
  });
});

test("sizes are told in whole MiB or in bytes", () => {
  expect([sizeText(0), sizeText(128 * MIB), sizeText(3 * GIB), sizeText(MIB + 1)]).toEqual([
    "0M",
    "128M",
    "3072M",
    "1048577B",
  ]);
});
