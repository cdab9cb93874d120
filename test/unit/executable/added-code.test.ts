/** Compares the machine code in entry-check.ts and engine-options.ts with the assembler sources. */
import { describe, expect, test } from "bun:test";
import { setEngineOptions } from "../../../src/executable/engine-options.ts";
import { entryCheck } from "../../../src/executable/entry-check.ts";
import { type Assembled, assemble } from "../../support/assembler.ts";

const EXPECTED = { slot: 1, address: 100, length: 80, ending: new Uint8Array(48).fill(0xee), entry: 5 };

/** Returns the code between two labels in hexadecimal. */
function between({ code, labels }: Assembled, from: string, to: string): string {
  return Buffer.from(code.subarray(labels.get(from), labels.get(to))).toString("hex");
}

describe.each(["x86_64", "aarch64"] as const)("added code, %s:", (architecture) => {
  const sources = assemble("src/executable", architecture);

  test("the entry check equals the source, followed by what it compares and the message", () => {
    const built = Buffer.from(entryCheck(architecture, EXPECTED));
    const code = between(sources, "entry_check", "expected");
    const table = code.length / 2;
    expect(built.toString("hex", 0, table)).toBe(code);
    const number = (index: number) => Number(built.readBigUint64LE(table + index * 8));
    // The address of the last 48 of the 80 bytes that follow the eight bytes with their length.
    expect([number(0), number(1), number(2), number(3)]).toEqual([1, 100, 80, 140]);
    expect(built.subarray(table + 32, table + 80)).toEqual(Buffer.from(EXPECTED.ending));
    expect(between(sources, "expected", "message")).toHaveLength(2 * 96);
    const text = built.toString("utf8", table + 96);
    expect([number(10), number(11)]).toEqual([5, text.length]);
    expect(text).toStartWith("nitro: this executable cannot run: ");
  });

  test("the code that sets the engine's options equals the source, followed by the function and the options", () => {
    const built = Buffer.from(setEngineOptions(architecture, 0x123456789));
    const code = between(sources, "set_engine_options", "set_option");
    const table = code.length / 2;
    expect(built.toString("hex", 0, table)).toBe(code);
    expect(Number(built.readBigUint64LE(table))).toBe(0x123456789);
    expect(between(sources, "set_option", "options")).toHaveLength(2 * 8);
    const options = built.toString("latin1", table + 8).split("\0");
    expect(options.slice(-2)).toEqual(["", ""]);
    expect(options.slice(0, -2)).toContain("useConcurrentGC=0");
  });
});
