/** A buffer for writes whose address is computed once. */
import { addressOf } from "./libc.ts";

/** Bytes and their address, which is valid while this object is referenced. */
export interface PinnedBuffer {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** Pins a typed array. */
export function pinnedBuffer(bytes: Uint8Array): PinnedBuffer {
  return { bytes, address: addressOf(bytes) };
}
