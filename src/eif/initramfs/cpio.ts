/**
 * Walks over cpio archives in the "newc" format as the kernel unpacks them: from header to header, the files' contents
 * stepped over. Several archives may follow one another with zeros between. Source: init/initramfs.c and
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */

const HEADER_BYTES = 110;
/** Of a name with the NUL at its end: PATH_MAX, beyond which the kernel leaves an entry out. */
const MOST_NAME_BYTES = 4096;
const MOST_BYTES = HEADER_BYTES + MOST_NAME_BYTES;
/** What may stand between two archives: more than that is no padding. */
const MOST_ZEROS = 64 * 1024;
const MAGIC = "07070";
const NOTHING = new Uint8Array(0);
const TRAILER = "TRAILER!!!";
/** Where fields of eight hexadecimal digits stand after the magic. */
const FIELD = { mode: 14, filesize: 54, namesize: 94 } as const;

/** A walk that is given the bytes of a ramdisk, in pieces of any size. */
export interface CpioWalk {
  /**
   * Takes what comes next and tells how many bytes of it were used: fewer than there are where something begins that is
   * no archive, or once it has seen enough.
   */
  push(piece: Uint8Array): number;
  /** Bytes of what comes next that are nothing but content: whoever can may leave them out and say so. */
  readonly skippable: number;
  skip(bytes: number): void;
  /** What comes next is what a compressed ramdisk unpacks to: the kernel counts anew from there. */
  restart(): void;
  /** Whether everything that was pushed so far was whole archives, the last of which has ended. */
  readonly complete: boolean;
  /** Files and directories, and the marks at the ends of archives. */
  readonly entries: number;
  /** The mode of each of the wanted files that was seen, by its path without a slash at its head. */
  readonly seen: ReadonlyMap<string, number>;
}

/**
 * Begins at a ramdisk's first byte.
 * @param wanted paths without a slash at their heads. @param mostEntries after which it has seen enough.
 */
export function cpioWalk(wanted: readonly string[], mostEntries: number): CpioWalk {
  return new Walk(wanted, mostEntries);
}

class Walk implements CpioWalk {
  readonly seen = new Map<string, number>();
  complete = true;
  skippable = 0;
  entries = 0;
  #at = 0;
  #zeros = 0;
  /** A header, or header and name, that the last piece broke off in. */
  #pending: Uint8Array = NOTHING;
  readonly #wanted: ReadonlySet<string>;
  readonly #longest: number;

  constructor(
    wanted: readonly string[],
    private readonly mostEntries: number,
  ) {
    this.#wanted = new Set(wanted);
    let longest = TRAILER.length;
    for (const { length } of wanted) longest = Math.max(longest, length);
    // "./" or "/" may stand before a path, and a NUL after it.
    this.#longest = longest + 4;
  }

  skip(bytes: number): void {
    this.skippable -= bytes;
    this.#at += bytes;
  }

  restart(): void {
    this.#at = 0;
    this.#zeros = 0;
  }

  push(piece: Uint8Array): number {
    let used = 0;
    while (used < piece.length) {
      if (this.skippable > 0) {
        const bytes = Math.min(this.skippable, piece.length - used);
        this.skip(bytes);
        used += bytes;
      } else if (this.complete && this.#pending.length === 0 && piece[used] === 0) {
        if (this.#zeros === MOST_ZEROS) return used;
        this.#zeros += 1;
        this.#at += 1;
        used += 1;
      } else {
        const taken = this.#header(piece, used);
        if (taken === undefined) return used;
        used += taken;
      }
    }
    return used;
  }

  /** Takes a header and its name, or as much of them as there is. Undefined: it is none, or enough has been seen. */
  #header(piece: Uint8Array, from: number): number | undefined {
    const before = this.#pending.length;
    const bytes = before === 0 ? piece : joined(this.#pending, piece.subarray(from, from + MOST_BYTES));
    const at = before === 0 ? from : 0;
    const length = bytes.length - at;
    if (!isHeader(bytes, at) || this.#at % 4 !== 0 || this.entries === this.mostEntries) return undefined;
    const nameBytes = length < HEADER_BYTES ? 0 : hex(bytes, at + FIELD.namesize);
    const needed = HEADER_BYTES + (nameBytes > MOST_NAME_BYTES ? 0 : nameBytes);
    this.complete = false;
    this.#zeros = 0;
    if (length < needed) {
      this.#pending = bytes.slice(at);
      return piece.length - from;
    }
    this.#pending = NOTHING;
    this.#entry(bytes, at, nameBytes);
    // A name that is too long is content as well.
    const name = roundUp(HEADER_BYTES + nameBytes) - needed;
    this.skippable = name + (this.complete ? 0 : roundUp(hex(bytes, at + FIELD.filesize)));
    this.#at += needed;
    return needed - before;
  }

  #entry(bytes: Uint8Array, at: number, nameBytes: number): void {
    this.entries += 1;
    if (nameBytes > Math.min(this.#longest, MOST_NAME_BYTES) || nameBytes === 0) return;
    const begin = at + HEADER_BYTES;
    const text = String.fromCharCode(...bytes.subarray(begin, begin + nameBytes - 1));
    if (text === TRAILER) {
      this.complete = true;
      return;
    }
    const path = text.replace(/^(\.?\/)+/, "");
    if (this.#wanted.has(path)) this.seen.set(path, hex(bytes, at + FIELD.mode));
  }
}

/** `070701`, or `070702` with checksums; as much of it as there is. */
function isHeader(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 5; i++) {
    if (at + i < bytes.length && bytes[at + i] !== MAGIC.charCodeAt(i)) return false;
  }
  return bytes.length - at < 6 || bytes[at + 5] === 0x31 || bytes[at + 5] === 0x32;
}

/** A field of eight hexadecimal digits; what is no digit counts as 0. */
function hex(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < at + 8; i++) {
    const byte = bytes[i] ?? 0;
    const digit = byte >= 0x61 ? byte - 0x57 : byte >= 0x41 ? byte - 0x37 : byte - 0x30;
    value = value * 16 + (digit >= 0 && digit < 16 ? digit : 0);
  }
  return value;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
