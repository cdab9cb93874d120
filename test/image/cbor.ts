/** A CBOR writer of the tests' own (RFC 8949, section 3), as much of it as a signature section has. */

function head(major: number, value: number): number[] {
  const first = major << 5;
  if (value < 24) return [first | value];
  if (value < 0x100) return [first | 24, value];
  if (value < 0x10000) return [first | 25, value >> 8, value & 0xff];
  throw new Error(`${value} is more than these tests write`);
}

export const integer = (value: number): number[] => (value < 0 ? head(1, -1 - value) : head(0, value));
export const byteString = (bytes: ArrayLike<number>): number[] => [
  ...head(2, bytes.length),
  ...Array.from(bytes),
];
export const text = (value: string): number[] => [...head(3, value.length), ...Buffer.from(value)];
export const array = (items: readonly (readonly number[])[]): number[] => [
  ...head(4, items.length),
  ...items.flat(),
];
export const map = (pairs: readonly (readonly [readonly number[], readonly number[]])[]): number[] => [
  ...head(5, pairs.length),
  ...pairs.flat(2),
];
/** As AWS's tools write bytes in this section: an array of integers. */
export const integers = (bytes: ArrayLike<number>): number[] => array(Array.from(bytes, integer));
