/** The tests' own CBOR writer and reader (RFC 8949, section 3), limited to what a signature section contains. */

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
/** Encodes bytes as AWS's tools do in this section: as an array of integers. */
export const integers = (bytes: ArrayLike<number>): number[] => array(Array.from(bytes, integer));

/** An item that these tests read; a map is a list of pairs. */
export type Item =
  | number
  | Uint8Array
  | string
  | readonly Item[]
  | { readonly pairs: readonly [Item, Item][] };

/** Reads one item, which must extend to the end of the bytes. */
export function readCbor(bytes: Uint8Array): Item {
  let at = 0;
  const read = (): Item => {
    const first = bytes[at++] ?? 0;
    const minor = first & 31;
    const more = minor < 24 ? 0 : 1 << (minor - 24);
    let value = more === 0 ? minor : 0;
    for (let i = 0; i < more; i++) value = value * 256 + (bytes[at++] ?? 0);
    const take = () => {
      at += value;
      return bytes.subarray(at - value, at);
    };
    switch (first >> 5) {
      case 0:
        return value;
      case 1:
        return -1 - value;
      case 2:
        return take();
      case 3:
        return Buffer.from(take()).toString();
      case 4:
        return Array.from({ length: value }, read);
      case 5:
        return { pairs: Array.from({ length: value }, (): [Item, Item] => [read(), read()]) };
      default:
        throw new Error(`major type ${first >> 5} is not read here`);
    }
  };
  const item = read();
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes are left over`);
  return item;
}

/** Returns the value of a key. */
export function keyed(item: Item | undefined, key: Item): Item {
  if (typeof item !== "object" || !("pairs" in item)) throw new Error("no map");
  const found = item.pairs.find(([own]) => own === key);
  if (found === undefined) throw new Error(`no ${key}`);
  return found[1];
}

/** Returns the bytes in an array of integers. */
export function asBytes(item: Item): Uint8Array {
  if (!Array.isArray(item)) throw new Error("no array");
  return Uint8Array.from(item as readonly number[]);
}
