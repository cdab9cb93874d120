/** Numbers and sizes as QEMU reads them (util/cutils.c: qemu_strtou64, qemu_strtosz; qapi's bool). */

/** A whole number below 2^64: decimal, 0x hexadecimal, or octal after a leading 0. Undefined for anything else. */
export function parseUint64(text: string): bigint | undefined {
  let value: bigint;
  if (/^0[0-7]+$/.test(text)) value = BigInt(`0o${text.slice(1)}`);
  else if (/^(0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$/.test(text)) value = BigInt(text);
  else return undefined;
  return value < 2n ** 64n ? value : undefined;
}

const SUFFIXES = "bkmgtpe";

/**
 * A size in bytes: a number, with a fraction if need be, and a suffix b, k, M, G, T, P or E for powers of 1024 in
 * either case. Undefined for what is no size, is not a whole number of bytes, or is 2^53 and more.
 * @param unit the suffix of a number without one.
 */
export function parseSize(text: string, unit: "b" | "M"): number | undefined {
  const hexadecimal = /^0[xX][0-9a-fA-F]+$/.test(text);
  const match = /^([0-9]+(?:\.[0-9]*)?)([bkmgtpe]?)$/i.exec(text);
  if (!hexadecimal && match === null) return undefined;
  const number = Number(hexadecimal ? text : match?.[1]);
  const suffix = (match?.[2] || unit).toLowerCase();
  const bytes = number * 1024 ** SUFFIXES.indexOf(hexadecimal ? unit.toLowerCase() : suffix);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const ON = ["on", "yes", "true", "y"];
const OFF = ["off", "no", "false", "n"];

/** A boolean; undefined for what is none. */
export function parseOnOff(text: string): boolean | undefined {
  if (ON.includes(text)) return true;
  return OFF.includes(text) ? false : undefined;
}
