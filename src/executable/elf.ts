/** A 64-bit little-endian ELF file in memory, with the fields that the build reads and changes. Layouts: elf(5). */

/** e_entry, e_shoff, e_shnum and e_shstrndx of Elf64_Ehdr. */
const HEADER = { entry: 0x18, sections: 0x28, sectionCount: 0x3c, nameSection: 0x3e } as const;
/** sh_type, sh_addr, sh_offset and sh_size of Elf64_Shdr. */
const SECTION = { bytes: 64, type: 4, address: 0x10, offset: 0x18, size: 0x20 } as const;
/** st_value and st_size of Elf64_Sym. */
const SYMBOL = { bytes: 24, address: 8, size: 16 } as const;
const SHT_NOBITS = 8;

interface Section {
  /** Offset of its header. */
  readonly header: number;
  readonly name: string;
  readonly hasContents: boolean;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
}

/** A range of the address space. */
export interface AddressRange {
  readonly address: number;
  readonly size: number;
}

/** Methods throw an Error if the file lacks the section, symbol or address that they look for. */
export class ElfFile {
  readonly #sections: Section[] = [];

  constructor(private readonly file: Buffer) {
    const header = (index: number) => this.#quad(HEADER.sections) + index * SECTION.bytes;
    const nameSection = header(file.readUInt16LE(HEADER.nameSection));
    const names = this.#quad(nameSection + SECTION.offset);
    for (let index = 0; index < file.readUInt16LE(HEADER.sectionCount); index++) {
      const at = header(index);
      this.#sections.push({
        header: at,
        name: this.#string(names + file.readUInt32LE(at)),
        hasContents: file.readUInt32LE(at + SECTION.type) !== SHT_NOBITS,
        address: this.#quad(at + SECTION.address),
        offset: this.#quad(at + SECTION.offset),
        size: this.#quad(at + SECTION.size),
      });
    }
  }

  get entry(): number {
    return this.#quad(HEADER.entry);
  }

  set entry(address: number) {
    this.file.writeBigUInt64LE(BigInt(address), HEADER.entry);
  }

  section(name: string): Section {
    const found = this.#sections.find((section) => section.name === name);
    if (found === undefined) throw new Error(`there is no section ${name}`);
    return found;
  }

  /** Returns the 64-bit number at an address. */
  number(address: number): number {
    return this.#quad(this.#offsetOf(address));
  }

  /** Returns the signed 32-bit number at an address. */
  int32(address: number): number {
    return this.file.readInt32LE(this.#offsetOf(address));
  }

  /** Returns bytes as characters of the same value. */
  text(range: AddressRange): string {
    return this.read(range).toString("latin1");
  }

  read({ address, size }: AddressRange): Buffer {
    const offset = this.#offsetOf(address);
    return this.file.subarray(offset, offset + size);
  }

  write(address: number, bytes: Uint8Array): void {
    this.file.set(bytes, this.#offsetOf(address));
  }

  /** Enlarges the section that ends where `range` begins, so that it includes the range. */
  enlargeSection({ address, size }: AddressRange): void {
    const ends = (section: Section) => section.size > 0 && section.address + section.size === address;
    const at = this.#sections.findIndex(ends);
    const section = this.#sections[at];
    if (section === undefined) throw new Error(`no section ends at address 0x${address.toString(16)}`);
    const enlarged = { ...section, size: section.size + size };
    this.#sections[at] = enlarged;
    this.file.writeBigUInt64LE(BigInt(enlarged.size), section.header + SECTION.size);
  }

  /** Finds a symbol of the dynamic symbol table. */
  symbol(name: string): AddressRange {
    const { offset, size } = this.section(".dynsym");
    const names = this.section(".dynstr").offset;
    for (let at = offset; at < offset + size; at += SYMBOL.bytes) {
      if (this.#string(names + this.file.readUInt32LE(at)) !== name) continue;
      return { address: this.#quad(at + SYMBOL.address), size: this.#quad(at + SYMBOL.size) };
    }
    throw new Error(`there is no symbol ${name}`);
  }

  #offsetOf(address: number): number {
    const contains = ({ hasContents, address: start, size }: Section) =>
      hasContents && start !== 0 && start <= address && address < start + size;
    const section = this.#sections.find(contains);
    if (section === undefined) throw new Error(`no section contains address 0x${address.toString(16)}`);
    return section.offset + address - section.address;
  }

  #quad(offset: number): number {
    return Number(this.file.readBigUInt64LE(offset));
  }

  #string(offset: number): string {
    return this.file.toString("latin1", offset, this.file.indexOf(0, offset));
  }
}
