/**
 * The heartbeat protocol of AWS's init (aws-nitro-enclaves-sdk-bootstrap, init.c). Once the enclave is up, init
 * connects to vsock port 9000 of CID 3, sends the byte 0xB7 and waits for the same byte. Without an answer init exits,
 * and the enclave with it. It sends one heartbeat only; other inits send none.
 */
import { readSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { sendSome, type VsockConnection } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";

/** The vsock port of the parent instance that init connects to. */
export const HEARTBEAT_PORT = 9000;
/** The CID of the parent instance, which no enclave can have. */
export const PARENT_CID = 3;
const HEARTBEAT_BYTE = 0xb7;

/** What a peer has sent so far, and the result of the answer: 1 for a sent byte, otherwise a negative errno. */
export type PeerResult =
  | { readonly kind: "nothing yet" }
  | { readonly kind: "closed"; readonly why: string }
  | { readonly kind: "wrong byte"; readonly byte: number }
  | { readonly kind: "answered"; readonly sent: number };

/** Reads a peer's byte and answers a heartbeat. @param beforeAnswer records it first: the answer may not be lost. */
export function answerPeer(
  system: System,
  { socket }: VsockConnection,
  beforeAnswer: () => void,
): PeerResult {
  const buffer = new Uint8Array(1);
  const got = readSome(system, socket.number, buffer);
  if (wouldBlock(got)) return { kind: "nothing yet" };
  if (got <= 0) return { kind: "closed", why: got === 0 ? "closed without a byte" : "connection lost" };
  const [byte = 0] = buffer;
  if (byte !== HEARTBEAT_BYTE) return { kind: "wrong byte", byte };
  beforeAnswer();
  return { kind: "answered", sent: sendSome(system, socket.number, addressOf(buffer), 1) };
}
