/** A 64-bit little-endian ELF file in memory: what the build reads and changes of it. Layouts as in elf(5). */

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

/** Methods throw Error if the file has not what they look for. */
export class ElfFile {
  readonly #bytes: DataView;
  readonly #sections: Section[] = [];

  constructor(private readonly file: Buffer) {
    this.#bytes = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const header = (index: number) => this.number(HEADER.sections) + index * SECTION.bytes;
    const nameSection = header(this.#bytes.getUint16(HEADER.nameSection, true));
    const names = this.number(nameSection + SECTION.offset);
    for (let index = 0; index < this.#bytes.getUint16(HEADER.sectionCount, true); index++) {
      const at = header(index);
      this.#sections.push({
        header: at,
        name: this.#text(names + this.#bytes.getUint32(at, true)),
        hasContents: this.#bytes.getUint32(at + SECTION.type, true) !== SHT_NOBITS,
        address: this.number(at + SECTION.address),
        offset: this.number(at + SECTION.offset),
        size: this.number(at + SECTION.size),
      });
    }
  }

  /** Returns the 64-bit number at an offset of the file. */
  number(offset: number): number {
    return Number(this.#bytes.getBigUint64(offset, true));
  }

  get entry(): number {
    return this.number(HEADER.entry);
  }

  set entry(address: number) {
    this.#bytes.setBigUint64(HEADER.entry, BigInt(address), true);
  }

  section(name: string): Section {
    const found = this.#sections.find((section) => section.name === name);
    if (found === undefined) throw new Error(`there is no section ${name}`);
    return found;
  }

  /** Returns the offset of an address whose contents are in the file. */
  offsetOf(address: number): number {
    const of = ({ hasContents, address: start, size }: Section) =>
      hasContents && start !== 0 && start <= address && address < start + size;
    const section = this.#sections.find(of);
    if (section === undefined) throw new Error(`no section contains address 0x${address.toString(16)}`);
    return section.offset + address - section.address;
  }

  /** Enlarges the section that ends where `range` begins, so that it includes the range. */
  enlargeSection({ address, size }: AddressRange): void {
    const ends = (section: Section) => section.size > 0 && section.address + section.size === address;
    const at = this.#sections.findIndex(ends);
    const section = this.#sections[at];
    if (section === undefined) throw new Error(`no section ends at address 0x${address.toString(16)}`);
    const enlarged = { ...section, size: section.size + size };
    this.#sections[at] = enlarged;
    this.#bytes.setBigUint64(section.header + SECTION.size, BigInt(enlarged.size), true);
  }

  /** Finds a symbol of the dynamic symbol table. */
  symbol(name: string): AddressRange {
    const { offset, size } = this.section(".dynsym");
    const names = this.section(".dynstr").offset;
    for (let at = offset; at < offset + size; at += SYMBOL.bytes) {
      if (this.#text(names + this.#bytes.getUint32(at, true)) !== name) continue;
      return { address: this.number(at + SYMBOL.address), size: this.number(at + SYMBOL.size) };
    }
    throw new Error(`there is no symbol ${name}`);
  }

  #text(offset: number): string {
    return this.file.toString("latin1", offset, this.file.indexOf(0, offset));
  }
}
