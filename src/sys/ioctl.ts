/** An ioctl is a row: name, direction, type, number and payload. The request code is computed from them. */
import { IOC_READ, IOC_WRITE } from "./linux/ioctl.ts";
import type { Fields, Struct } from "./struct.ts";

/** An ioctl. `direction` as in the header: "R" the kernel writes the payload, "W" it reads it, "WR" both. */
export interface Ioctl<F extends Fields> {
  readonly name: string;
  readonly direction: "R" | "W" | "WR";
  readonly payload: Struct<F>;
  /** The request code: direction (2 bits), size (14), type (8), number (8). */
  readonly request: number;
}

/** Declares an ioctl as asm-generic/ioctl.h's _IOR, _IOW and _IOWR do. */
export function ioctl<F extends Fields>(
  name: string,
  direction: "R" | "W" | "WR",
  type: number,
  number: number,
  payload: Struct<F>,
): Ioctl<F> {
  const bits = (direction.includes("R") ? IOC_READ : 0) | (direction.includes("W") ? IOC_WRITE : 0);
  return {
    name,
    direction,
    payload,
    request: bits * 2 ** 30 + (payload.size << 16) + (type << 8) + number,
  };
}
