/** Numbers and sizes as QEMU reads them (util/cutils.c: qemu_strtou64, qemu_strtosz; qapi's bool). */

/** Parses a whole number below 2^64: decimal, hexadecimal after 0x, octal after 0. Returns undefined otherwise. */
export function parseUint64(text: string): bigint | undefined {
  const match = /^(?:0([0-7]+)|0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$/.exec(text);
  if (match === null) return undefined;
  const value = BigInt(match[1] === undefined ? text : `0o${match[1]}`);
  return value < 2n ** 64n ? value : undefined;
}

const SUFFIXES = "bkmgtpe";

/**
 * Parses a size: a number, possibly with a fraction, and a suffix b, k, M, G, T, P or E, in either case, for powers of
 * 1024. Returns bytes; undefined for anything else, for a fraction of a byte, and from 2^53 on.
 * @param unit the suffix of a number without one.
 */
export function parseSize(text: string, unit: "b" | "M"): number | undefined {
  const match = /^(?:(0x[0-9a-f]+)|([0-9]+(?:\.[0-9]*)?)([bkmgtpe]?))$/i.exec(text);
  if (match === null) return undefined;
  const number = Number(match[1] ?? match[2]);
  const suffix = (match[3] || unit).toLowerCase();
  const bytes = number * 1024 ** SUFFIXES.indexOf(suffix);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const ON = ["on", "yes", "true", "y"];
const OFF = ["off", "no", "false", "n"];

/** Parses a boolean as QEMU does. Returns undefined for anything else. */
export function parseOnOff(text: string): boolean | undefined {
  if (ON.includes(text)) return true;
  return OFF.includes(text) ? false : undefined;
}
