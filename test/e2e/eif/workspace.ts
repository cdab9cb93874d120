/** Files for images, keys to sign them, and the built program. */
import { readdirSync } from "node:fs";
import { SigningPlace } from "../../unit/eif/signing.ts";
import { type Ended, nitro } from "../binary/nitro.ts";

/** 1,000,003 bytes that look like a bzImage, without a version. */
export function kernelK(): Uint8Array {
  const bytes = new Uint8Array(1_000_003).map((_, i) => (7 * i + 3) % 256);
  bytes.set([0x55, 0xaa], 0x1fe);
  bytes.set(new TextEncoder().encode("HdrS"), 0x202);
  bytes.set([0x0f, 0x02], 0x206);
  return bytes;
}

/** Bytes that look like a flat arm64 Image. */
export function arm64Image(size = 300_000): Uint8Array {
  const bytes = new Uint8Array(size).map((_, i) => (11 * i + 1) % 256);
  bytes.set(new TextEncoder().encode("ARM\x64"), 0x38);
  return bytes;
}

export function disk(size: number, step: number): Uint8Array {
  return new Uint8Array(size).map((_, i) => (step * i + 5) % 256);
}

export interface Run {
  readonly env?: Readonly<Record<string, string>>;
}

/** The directory of one test file. */
export class Workshop extends SigningPlace {
  readonly kernel = this.file("bzImage", kernelK());
  readonly image = this.file("Image", arm64Image());
  readonly initrd = this.file("initrd", disk(65_537, 13));
  readonly second = this.file("second", disk(40_000, 3));
  readonly third = this.file("third", disk(1, 1));

  /** Runs `nitro eif` in this directory. */
  eif(args: readonly string[], { env = {} }: Run = {}): Ended {
    return nitro(["eif", ...args], {
      cwd: this.directory,
      env: { PATH: process.env["PATH"] ?? "", ...env },
    });
  }

  /** Runs a command that must succeed. Returns its standard output. */
  done(args: readonly string[], run: Run = {}): string {
    const { out, err, status } = this.eif(args, run);
    if (status !== 0 || err !== "") throw new Error(`nitro eif ${args.join(" ")}: ${status}: ${err}`);
    return out;
  }

  /** Runs a command that must fail. Returns the first line of its message, without `nitro: `. */
  refused(args: readonly string[], run: Run = {}): string {
    const { out, err, status } = this.eif(args, run);
    if (status !== 1 || out !== "") throw new Error(`nitro eif ${args.join(" ")}: ${status}: ${out}${err}`);
    if (!err.startsWith("nitro: ") || err.includes("internal error")) throw new Error(err);
    return err.split("\n")[0]?.slice("nitro: ".length) ?? "";
  }

  /** Builds an unsigned image with at least one ramdisk. */
  built(name: string, ...more: readonly string[]): string {
    this.done([
      "build",
      "-arch",
      "x86_64",
      "-o",
      name,
      "-kernel",
      this.kernel,
      "-initrd",
      this.initrd,
      ...more,
    ]);
    return this.path(name);
  }

  names(): string[] {
    return readdirSync(this.directory).sort();
  }
}
