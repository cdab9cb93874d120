/** Sizes in bytes, and how messages print them. */

/** Bytes of a mebibyte, then of a gibibyte. */
export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** Returns a size with its unit, in GiB only if nothing is lost: `15.5 GiB`, `1152 MiB`, `64 KiB`. */
export function sizeWithUnit(bytes: number): string {
  if (bytes >= GIB && bytes % (GIB / 2) === 0) return `${bytes / GIB} GiB`;
  if (bytes >= MIB || bytes === 0) return `${Math.floor(bytes / MIB)} MiB`;
  return `${Math.floor(bytes / 1024)} KiB`;
}

/** Returns a size with its unit, rounded down to half a GiB if it is larger than that: `15.5 GiB`, `300 MiB`. */
export function roundedSize(bytes: number): string {
  return sizeWithUnit(bytes >= GIB ? bytes - (bytes % (GIB / 2)) : bytes);
}
