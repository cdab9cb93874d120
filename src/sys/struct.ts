/**
 * A C or wire structure is a table of fields and types. Offsets and size are computed, the size is asserted against
 * the header or the specification, and types are inferred.
 */

interface Scalar<T> {
  readonly size: number;
  get(view: DataView, offset: number, littleEndian: boolean): T;
  set(view: DataView, offset: number, value: T, littleEndian: boolean): void;
}

/** Field types, named as in Rust and the kernel: u16 is two bytes, unsigned. */
export const u8: Scalar<number> = {
  size: 1,
  get: (view, offset) => view.getUint8(offset),
  set: (view, offset, value) => view.setUint8(offset, value),
};
/** Two bytes, unsigned. */
export const u16: Scalar<number> = {
  size: 2,
  get: (view, offset, le) => view.getUint16(offset, le),
  set: (view, offset, value, le) => view.setUint16(offset, value, le),
};
/** Four bytes, unsigned. */
export const u32: Scalar<number> = {
  size: 4,
  get: (view, offset, le) => view.getUint32(offset, le),
  set: (view, offset, value, le) => view.setUint32(offset, value, le),
};
/** Eight bytes, unsigned, as a bigint. */
export const u64: Scalar<bigint> = {
  size: 8,
  get: (view, offset, le) => view.getBigUint64(offset, le),
  set: (view, offset, value, le) => view.setBigUint64(offset, value, le),
};

/** `count` values of one type. */
export function array<T>(type: Scalar<T>, count: number): Scalar<readonly T[]> {
  return {
    size: type.size * count,
    get: (view, offset, le) =>
      Array.from({ length: count }, (_, i) => type.get(view, offset + i * type.size, le)),
    set: (view, offset, values, le) => {
      if (values.length !== count) throw new RangeError(`expected ${count} values, got ${values.length}`);
      for (let i = 0; i < count; i++) type.set(view, offset + i * type.size, values[i] as T, le);
    },
  };
}

/** The fields of a structure, in order. */
export type Fields = Record<string, Scalar<unknown>>;
/** The value of a structure. */
export type Values<F extends Fields> = { [K in keyof F]: F[K] extends Scalar<infer T> ? T : never };

/** The layout of a structure: size in bytes, offset of each field, encoding and decoding. */
export interface Struct<F extends Fields> {
  readonly name: string;
  readonly size: number;
  readonly offsets: { readonly [K in keyof F]: number };
  /** Returns the bytes of a value. */
  encode(values: Values<F>): Uint8Array;
  /** Returns the value at `offset`. Throws RangeError if there are too few bytes. */
  decode(bytes: Uint8Array, offset?: number): Values<F>;
}

/**
 * Declares a structure; padding is a field of its own. Throws if the fields do not add up to `size`, or if a field of
 * a native structure is not naturally aligned.
 */
export function struct<F extends Fields>(
  name: string,
  size: number,
  fields: F,
  order: "native" | "big-endian" = "native",
): Struct<F> {
  const littleEndian = order === "native"; // Linux on x86_64 and aarch64 is little-endian.
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const [field, type] of Object.entries(fields)) {
    offsets[field] = end;
    end += type.size;
  }
  if (end !== size) throw new Error(`struct ${name} has ${end} bytes, its source says ${size}`);
  return {
    name,
    size,
    offsets: offsets as { [K in keyof F]: number },
    encode(values) {
      const bytes = new Uint8Array(size);
      const view = new DataView(bytes.buffer);
      for (const [field, type] of Object.entries(fields)) {
        type.set(view, offsets[field] ?? 0, values[field], littleEndian);
      }
      return bytes;
    },
    decode(bytes, offset = 0) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + offset, size);
      const values: Record<string, unknown> = {};
      for (const [field, type] of Object.entries(fields)) {
        values[field] = type.get(view, offsets[field] ?? 0, littleEndian);
      }
      return values as Values<F>;
    },
  };
}
