/** Memory that is written from: its address is asked for once, so that a write makes no view of it. */
import { addressOf } from "./libc.ts";

/** Bytes and where they are. The address is good as long as the block is held. */
export interface PinnedBuffer {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** A block of these bytes, which are held by it. */
export function pinnedBuffer(bytes: Uint8Array): PinnedBuffer {
  return { bytes, address: addressOf(bytes) };
}
