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

/** _IOR of asm-generic/ioctl.h: the kernel writes the payload. */
export function ior<F extends Fields>(
  name: string,
  type: number,
  number: number,
  payload: Struct<F>,
): Ioctl<F> {
  return { name, direction: "R", payload, request: requestCode(IOC_READ, type, number, payload.size) };
}

/** _IOW: the kernel reads the payload. */
export function iow<F extends Fields>(
  name: string,
  type: number,
  number: number,
  payload: Struct<F>,
): Ioctl<F> {
  return { name, direction: "W", payload, request: requestCode(IOC_WRITE, type, number, payload.size) };
}

/** _IOWR: the kernel reads the payload and writes it. */
export function iowr<F extends Fields>(
  name: string,
  type: number,
  number: number,
  payload: Struct<F>,
): Ioctl<F> {
  const request = requestCode(IOC_READ | IOC_WRITE, type, number, payload.size);
  return { name, direction: "WR", payload, request };
}

/** _IOC: a sum instead of shifts, because the direction is in the sign bit of 32-bit operators. */
function requestCode(direction: number, type: number, number: number, size: number): number {
  return direction * 2 ** 30 + (size << 16) + (type << 8) + number;
}
