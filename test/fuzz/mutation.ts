/**
 * Breaks valid files byte by byte, and images section by section. A case is plain data, so that it can be saved and
 * repeated.
 */

import { crc32 } from "node:zlib";
import fc from "fast-check";
import { type EifSpec, writeEif } from "../unit/eif/eif-writer.ts";

/** One change. Offsets count from the start of the file, or from its end if negative, and wrap around. */
export type Mutation =
  | { readonly kind: "set" | "insert"; readonly at: number; readonly bytes: readonly number[] }
  | { readonly kind: "delete"; readonly at: number; readonly length: number }
  | { readonly kind: "truncate"; readonly at: number }
  | { readonly kind: "copy"; readonly at: number; readonly from: number; readonly length: number }
  | {
      readonly kind: "number";
      readonly at: number;
      readonly width: number;
      readonly value: string;
      readonly little: boolean;
    };

/** A file: a seed with changes, and whether its CRC is corrected afterwards; or an image by a specification. */
export interface Thrown {
  readonly seed: string;
  readonly spec?: SmallSpec;
  readonly mutations: readonly Mutation[];
  readonly repaired: boolean;
}

/** An image with short texts as sections and arbitrary numbers. */
export interface SmallSpec {
  readonly version: number;
  readonly flags: number;
  readonly count?: number | undefined;
  readonly trailer: number;
  readonly sections: readonly {
    readonly type: number;
    readonly text: string;
    readonly gap: number;
    readonly ownSize?: string;
    readonly headerSize?: string;
    readonly headerOffset?: string;
    /** How much both sizes exceed the payload's, in bytes. */
    readonly grown?: number;
    /** Its entry in the header equals that of the section before it. */
    readonly alias?: number;
  }[];
}

const ODD_NUMBERS = [
  ...[
    "0",
    "1",
    "2",
    "3",
    "4",
    "11",
    "12",
    "32",
    "33",
    "127",
    "128",
    "255",
    "256",
    "547",
    "548",
    "4095",
    "4096",
  ],
  ...["32767", "32768", "32769", "65535", "65536", "1048576", "1048577", "268435456", "268435457"],
  ...["2147483647", "2147483648", "4294967295", "4294967296", "9007199254740991", "9007199254740992"],
  ...["9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615"],
];

const place = fc.oneof(
  { weight: 4, arbitrary: fc.nat(600) },
  { weight: 2, arbitrary: fc.nat(2 ** 30) },
  { weight: 3, arbitrary: fc.integer({ min: -2200, max: -1 }) },
  // Around the signature of a signed image.
  { weight: 3, arbitrary: fc.integer({ min: -250, max: -1 }) },
);
const byte = fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x7f, 0x80, 0x0a, 0x2d, 0x30, 0x41));
const bytes = fc.array(byte, { minLength: 1, maxLength: 12 });
const value = fc.oneof(
  fc.constantFrom(...ODD_NUMBERS),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  fc.nat(6000).map(String),
);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("set" as const), at: place, bytes }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("insert" as const), at: place, bytes }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("delete" as const), at: place, length: fc.nat(700) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("truncate" as const), at: place }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("copy" as const), at: place, from: place, length: fc.nat(600) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("number" as const),
      at: place,
      width: fc.constantFrom(1, 2, 4, 8),
      value,
      little: fc.boolean(),
    }),
  },
);

const spec: fc.Arbitrary<SmallSpec> = fc.record({
  version: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(2, 3, 4, 4, 4, 4, 4) }, fc.nat(65535)),
  flags: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(0, 1, 0x40, 0x241) }, fc.nat(65535)),
  count: fc.oneof({ weight: 20, arbitrary: fc.constant(undefined) }, fc.nat(40), fc.nat(65535)),
  trailer: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(40)),
  sections: fc.oneof(
    { weight: 2, arbitrary: fc.array(sectionSpec(0, 6), { maxLength: 36 }) },
    {
      weight: 2,
      arbitrary: fc.array(sectionSpec(3, 3), { maxLength: 12 }).map((others) => [...GOOD, ...others]),
    },
    { weight: 2, arbitrary: fc.array(sectionSpec(3, 4), { maxLength: 3 }).chain(shuffled) },
    // The maximum, and one more.
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(28, 29, 30)
        .map((n) => [...GOOD, ...Array.from({ length: n }, () => section(3))]),
    },
  ),
});

type Section = SmallSpec["sections"][number];

function section(type: number): Section {
  return { type, text: "{}", gap: 0 };
}

/** Kernel, command line, metadata. */
const GOOD: readonly Section[] = [1, 2, 5].map(section);

function shuffled(others: readonly Section[]): fc.Arbitrary<Section[]> {
  const all = [...GOOD, ...others];
  return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
}

function sectionSpec(least: number, most: number): fc.Arbitrary<Section> {
  const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.oneof({ weight: 25, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
  return fc
    .record({
      type: fc.integer({ min: least, max: most }),
      text: fc.oneof(fc.string({ maxLength: 30 }), fc.json({ maxDepth: 2 }), fc.constant("{}")),
      gap: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.nat(20)),
      ownSize: rarely(value),
      headerSize: rarely(value),
      headerOffset: rarely(value),
      grown: rarely(fc.nat(60)),
      alias: rarely(fc.nat(35)),
    })
    .map((all) => {
      const given = Object.entries(all).filter(([, value]) => value !== undefined);
      return Object.fromEntries(given) as unknown as Section;
    });
}

/** Generates files from these seeds; "spec" is an image by a specification. */
export function thrown(seeds: readonly string[]): fc.Arbitrary<Thrown> {
  // A single small change gets further than many.
  const small = fc.record({
    kind: fc.constant("set" as const),
    at: fc.oneof(fc.nat(2 ** 30), place),
    bytes: fc.array(byte, { minLength: 1, maxLength: 2 }),
  });
  const mutations = fc.oneof(
    { weight: 8, arbitrary: fc.array(small, { minLength: 1, maxLength: 2 }) },
    { weight: 8, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 4 }) },
    { weight: 1, arbitrary: fc.array(mutation, { maxLength: 30 }) },
  );
  const repaired = fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false));
  const none: fc.Arbitrary<Mutation[]> = fc.constant([]);
  const planned = fc.record({
    seed: fc.constant("spec"),
    spec,
    mutations: fc.oneof({ weight: 3, arbitrary: none }, { weight: 1, arbitrary: mutations }),
    repaired,
  });
  const of = (seed: string): fc.Arbitrary<Thrown> =>
    seed === "spec" ? planned : fc.record({ seed: fc.constant(seed), mutations, repaired });
  return fc.constantFrom(...seeds).chain(of);
}

/** Returns the file of a case. @param seedOf returns the bytes of a seed. */
export function bytesOf(what: Thrown, seedOf: (name: string) => Uint8Array): Uint8Array {
  const start = what.spec === undefined ? seedOf(what.seed) : writeEif(eifSpec(what.spec));
  const broken = what.mutations.reduce<Buffer>(mutated, Buffer.from(start));
  if (what.repaired && broken.length >= 548 && broken.toString("latin1", 0, 4) === ".eif") {
    broken.writeUInt32BE(crc32(broken.subarray(548), crc32(broken.subarray(0, 544))), 544);
  }
  return new Uint8Array(broken);
}

function eifSpec({ sections, count, ...rest }: SmallSpec): EifSpec {
  const payloads = sections.map(({ text }) => new TextEncoder().encode(text));
  let at = 548;
  const places = sections.map(({ gap }, i) => {
    const place = BigInt(at + gap);
    at += gap + 12 + (payloads[i]?.length ?? 0);
    return place;
  });
  const big = (number: string | undefined) => (number === undefined ? undefined : BigInt(number));
  const specs = sections.map((section, i) => {
    const payload = payloads[i] ?? new Uint8Array(0);
    const grown = section.grown === undefined ? undefined : BigInt(payload.length + section.grown);
    const other = section.alias === undefined ? i : section.alias % sections.length;
    const aliased = other < i ? BigInt(payloads[other]?.length ?? 0) : undefined;
    const spec = { type: section.type, gap: section.gap, payload };
    return given(spec, {
      ownSize: big(section.ownSize) ?? grown,
      headerSize: big(section.headerSize) ?? grown ?? aliased,
      headerOffset: big(section.headerOffset) ?? (other < i ? places[other] : undefined),
    });
  });
  return { ...rest, ...(count === undefined ? {} : { count }), sections: specs };
}

type SectionSpec = EifSpec["sections"][number];
type Numbers = "ownSize" | "headerSize" | "headerOffset";

/** Omits numbers that are undefined, so that they get their correct values. */
function given(spec: SectionSpec, numbers: Readonly<Record<Numbers, bigint | undefined>>): SectionSpec {
  return {
    ...spec,
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number !== undefined)),
  };
}

function mutated(file: Buffer, change: Mutation): Buffer {
  const index = (at: number) => (file.length === 0 ? 0 : ((at % file.length) + file.length) % file.length);
  const at = index(change.at);
  switch (change.kind) {
    case "set":
      file.set(change.bytes.slice(0, file.length - at), at);
      return file;
    case "insert":
      return Buffer.concat([file.subarray(0, at), Buffer.from(change.bytes), file.subarray(at)]);
    case "delete":
      return Buffer.concat([file.subarray(0, at), file.subarray(at + change.length)]);
    case "truncate":
      return file.subarray(0, at);
    case "copy": {
      const from = index(change.from);
      return Buffer.concat([
        file.subarray(0, at),
        file.subarray(from, from + change.length),
        file.subarray(at),
      ]);
    }
    case "number": {
      const digits = BigInt.asUintN(8 * change.width, BigInt(change.value));
      for (let i = 0; i < change.width && at + i < file.length; i++) {
        const shift = BigInt(8 * (change.little ? i : change.width - 1 - i));
        file[at + i] = Number((digits >> shift) & 0xffn);
      }
      return file;
    }
  }
}
