/** Compares the machine code in entry-check.ts with the assembler sources. */
import { expect, test } from "bun:test";
import { entryCheck } from "../../../src/executable/entry-check.ts";
import { assemble } from "../../support/assembler.ts";

const EXPECTED = { slot: 1, address: 100, length: 80, ending: new Uint8Array(48).fill(0xee), entry: 5 };

test.each(["x86_64", "aarch64"] as const)(
  "entry check: the code for %s equals the source",
  (architecture) => {
    const { code, labels } = assemble("src/executable", architecture);
    const [table = 0, message] = [labels.get("expected"), labels.get("message")];
    const built = Buffer.from(entryCheck(architecture, EXPECTED));
    expect(built.toString("hex", 0, table)).toBe(Buffer.from(code).toString("hex", 0, table));
    const number = (index: number) => Number(built.readBigUint64LE(table + index * 8));
    // The address of the last 48 of the 80 bytes that follow the eight bytes with their length.
    expect([number(0), number(1), number(2), number(3)]).toEqual([1, 100, 80, 140]);
    expect(built.subarray(table + 32, table + 80)).toEqual(Buffer.from(EXPECTED.ending));
    const text = built.toString("utf8", message);
    expect([number(10), number(11)]).toEqual([5, text.length]);
    expect(text).toStartWith("nitro: this executable cannot run: ");
  },
);
