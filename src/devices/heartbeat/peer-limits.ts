/**
 * How many connections that have sent nothing yet are kept. An init sends its byte as soon as it is connected; an
 * enclave that connects again and again must not displace the connections of others.
 */
import type { PeerConnection } from "./protocol.ts";

const MAX_OF_ONE_CID = 8;
const MAX_CONNECTIONS = 64;

/**
 * Returns the connection to close before another one of this CID is kept: the oldest of the same CID, or of all;
 * undefined if there is room. @param own the CID whose connections are kept longest.
 */
export function surplusConnection(
  kept: readonly PeerConnection[],
  cid: number,
  own?: number,
): PeerConnection | undefined {
  const ofSameCid = kept.filter(({ incoming }) => incoming.cid === cid);
  if (ofSameCid.length >= MAX_OF_ONE_CID) return ofSameCid[0];
  return kept.length >= MAX_CONNECTIONS ? oldestConnection(kept, own) : undefined;
}

/** Returns the oldest connection of another CID, or of all if there is none. */
export function oldestConnection(kept: readonly PeerConnection[], own?: number): PeerConnection | undefined {
  return kept.find(({ incoming }) => incoming.cid !== own) ?? kept[0];
}
