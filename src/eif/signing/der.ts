/** Elements of DER (ITU-T X.690), as far as certificates and keys need them. */

/** Tags of universal types (X.690, 8.1.2), and the context-specific ones that certificates and keys use. */
export const DER_TAG = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  /** `[0]`, constructed. */
  context0: 0xa0,
} as const;

/** An element within DER, as offsets. */
export interface DerElement {
  readonly tag: number;
  readonly start: number;
  /** Where its content begins. */
  readonly content: number;
  readonly end: number;
}

/** Returns the element at an offset. Throws RangeError if it is not within the bytes, or its length is not definite. */
export function derElement(der: Uint8Array, at: number): DerElement {
  const first = der[at + 1] ?? 0x80;
  const count = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || count > 4) throw new RangeError("an element without a definite length");
  let length = count === 0 ? first : 0;
  for (let i = 0; i < count; i++) length = length * 256 + (der[at + 2 + i] ?? 0);
  const content = at + 2 + count;
  if (content + length > der.length) throw new RangeError("an element that extends past the end");
  return { tag: der[at] ?? 0, start: at, content, end: content + length };
}

/** Returns the elements within a constructed one. Throws RangeError. */
export function derChildren(der: Uint8Array, parent: DerElement): DerElement[] {
  const children: DerElement[] = [];
  for (let at = parent.content; at < parent.end; ) {
    const child = derElement(der, at);
    if (child.end > parent.end) throw new RangeError("an element that extends past its parent");
    children.push(child);
    at = child.end;
  }
  return children;
}

/** Returns an element's content. */
export function derContent(der: Uint8Array, { content, end }: DerElement): Uint8Array {
  return der.subarray(content, end);
}

/** Returns a whole element, its tag and length included. */
export function derBytes(der: Uint8Array, { start, end }: DerElement): Uint8Array {
  return der.subarray(start, end);
}

/** Encodes an element whose content is these parts, of less than 64 KiB. */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  const bytes = new Uint8Array(head.length + length);
  bytes.set(head);
  let at = head.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
