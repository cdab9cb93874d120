/** Image files of realistic size, with content that cannot be compressed. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes a file with the header of a bzImage and a ramdisk, together `bytes` long; returns their paths. */
export function imageFiles(directory: string, bytes: number): { kernel: string; initrd: string } {
  const kernel = new Uint8Array(8_000_000).map((_, i) => (i * 7) ^ (i >> 11));
  kernel.set([0x55, 0xaa], 0x1fe);
  kernel.set(new TextEncoder().encode("HdrS"), 0x202);
  kernel.set([0x0f, 0x02], 0x206);
  const files = { kernel: join(directory, `kernel-${bytes}`), initrd: join(directory, `initrd-${bytes}`) };
  writeFileSync(files.kernel, kernel);
  const initrd = new Uint8Array(bytes - kernel.length);
  for (let at = 0; at < initrd.length; at += 65_536) crypto.getRandomValues(initrd.subarray(at, at + 65_536));
  writeFileSync(files.initrd, initrd);
  return files;
}
