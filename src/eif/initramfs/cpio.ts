/**
 * Walks cpio archives in the "newc" format as the kernel unpacks them: from header to header, skipping file contents.
 * Several archives may follow each other with zeros in between. Sources: init/initramfs.c and
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */

const HEADER_BYTES = 110;
/** The limit of a name including its NUL, PATH_MAX: the kernel skips entries with longer ones. */
const MAX_NAME_BYTES = 4096;
const MAX_HEADER_BYTES = HEADER_BYTES + MAX_NAME_BYTES;
/** The limit of padding between two archives. */
const MAX_ZEROS = 64 * 1024;
/** The alignment of headers and contents in bytes. */
const ALIGNMENT = 4;
const MAGIC = "07070";
const NOTHING = new Uint8Array(0);
const TRAILER = "TRAILER!!!";
/** Offsets of header fields, eight hexadecimal digits each. */
const FIELD = { mode: 14, filesize: 54, namesize: 94 } as const;

/** A walk over a ramdisk, which is passed in chunks of any size. */
export interface CpioWalk {
  /**
   * Processes the next bytes. Returns how many of them it used: fewer than given if something other than an archive
   * starts there, or after the maximum number of entries.
   */
  push(chunk: Uint8Array): number;
  /** The number of next bytes that are file content: the caller may call `skip` in place of passing them. */
  readonly skippable: number;
  skip(bytes: number): void;
  /** The next bytes are the content of a compressed ramdisk, which the kernel aligns from its own start. */
  restart(): void;
  /** Whether the bytes so far are complete archives. */
  readonly complete: boolean;
  /** Whether they end within an entry; the padding after its content does not count. */
  readonly withinEntry: boolean;
  /** The number of entries so far, including trailers. */
  readonly entries: number;
  /** The modes of the wanted paths that were found. */
  readonly modes: ReadonlyMap<string, number>;
}

/**
 * Starts a walk at a ramdisk's first byte.
 * @param wanted paths without a leading slash. @param maxEntries after which it stops.
 */
export function cpioWalk(wanted: readonly string[], maxEntries: number): CpioWalk {
  return new Walk(wanted, maxEntries);
}

class Walk implements CpioWalk {
  readonly modes = new Map<string, number>();
  complete = true;
  skippable = 0;
  entries = 0;
  #at = 0;
  #zeros = 0;
  /** The start of a header and name that continues in the next chunk. */
  #pending: Uint8Array = NOTHING;
  readonly #wanted: ReadonlySet<string>;
  readonly #longest: number;

  constructor(
    wanted: readonly string[],
    private readonly maxEntries: number,
  ) {
    this.#wanted = new Set(wanted);
    // A path may start with "./" or "/", and ends with NUL.
    this.#longest = Math.max(TRAILER.length, ...wanted.map(({ length }) => length)) + 4;
  }

  get withinEntry(): boolean {
    return this.#pending.length > 0 || this.skippable >= ALIGNMENT;
  }

  skip(bytes: number): void {
    this.skippable -= bytes;
    this.#at += bytes;
  }

  restart(): void {
    this.#at = 0;
    this.#zeros = 0;
  }

  push(chunk: Uint8Array): number {
    let used = 0;
    while (used < chunk.length) {
      if (this.skippable > 0) {
        const bytes = Math.min(this.skippable, chunk.length - used);
        this.skip(bytes);
        used += bytes;
      } else if (this.complete && this.#pending.length === 0 && chunk[used] === 0) {
        if (this.#zeros === MAX_ZEROS) return used;
        this.#zeros += 1;
        this.#at += 1;
        used += 1;
      } else {
        const length = this.#header(chunk, used);
        if (length === undefined) return used;
        used += length;
      }
    }
    return used;
  }

  /** Processes a header and its name, or the part in this chunk. Returns the bytes used; undefined to stop. */
  #header(chunk: Uint8Array, from: number): number | undefined {
    const before = this.#pending.length;
    const bytes = before === 0 ? chunk : joined(this.#pending, chunk.subarray(from, from + MAX_HEADER_BYTES));
    const at = before === 0 ? from : 0;
    const length = bytes.length - at;
    if (!isHeader(bytes, at) || this.#at % ALIGNMENT !== 0 || this.entries === this.maxEntries)
      return undefined;
    const nameBytes = length < HEADER_BYTES ? 0 : hexField(bytes, at + FIELD.namesize);
    const needed = HEADER_BYTES + (nameBytes > MAX_NAME_BYTES ? 0 : nameBytes);
    this.complete = false;
    this.#zeros = 0;
    if (length < needed) {
      this.#pending = bytes.slice(at);
      return chunk.length - from;
    }
    this.#pending = NOTHING;
    this.#entry(bytes, at, nameBytes);
    // A name over the limit is skipped with the content.
    const name = roundUp(HEADER_BYTES + nameBytes) - needed;
    this.skippable = name + (this.complete ? 0 : roundUp(hexField(bytes, at + FIELD.filesize)));
    this.#at += needed;
    return needed - before;
  }

  #entry(bytes: Uint8Array, at: number, nameBytes: number): void {
    this.entries += 1;
    if (nameBytes > Math.min(this.#longest, MAX_NAME_BYTES) || nameBytes === 0) return;
    const start = at + HEADER_BYTES;
    const text = String.fromCharCode(...bytes.subarray(start, start + nameBytes - 1));
    if (text === TRAILER) {
      this.complete = true;
      return;
    }
    const path = text.replace(/^(\.?\/)+/, "");
    if (this.#wanted.has(path)) this.modes.set(path, hexField(bytes, at + FIELD.mode));
  }
}

/** Whether a header, possibly truncated, starts here: `070701`, or `070702` with checksums. */
function isHeader(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 5; i++) {
    if (at + i < bytes.length && bytes[at + i] !== MAGIC.charCodeAt(i)) return false;
  }
  return bytes.length - at < 6 || bytes[at + 5] === 0x31 || bytes[at + 5] === 0x32;
}

/** Reads a field of eight hexadecimal digits; other characters count as 0. */
function hexField(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < at + 8; i++) {
    const byte = bytes[i] ?? 0;
    const digit = byte >= 0x61 ? byte - 0x57 : byte >= 0x41 ? byte - 0x37 : byte - 0x30;
    value = value * 16 + (digit >= 0 && digit < 16 ? digit : 0);
  }
  return value;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
