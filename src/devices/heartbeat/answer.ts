/**
 * One heartbeat: the byte 0xB7 from an enclave's init, and the same byte back. An init that gets no answer gives up,
 * and its enclave exits.
 */
import { readSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { type Incoming, sendSome } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";

const HEARTBEAT_BYTE = 0xb7;

/** What a peer has said, if anything, and what came of the answer: 1 for a byte sent, else the negative errno. */
export type Heard =
  | { readonly kind: "nothing yet" }
  | { readonly kind: "end"; readonly why: string }
  | { readonly kind: "wrong byte"; readonly byte: number }
  | { readonly kind: "answered"; readonly sent: number };

/** Reads a peer's byte and answers it. @param before called in between: whatever comes then, the heartbeat is known. */
export function hear(system: System, { socket }: Incoming, before: () => void): Heard {
  const one = new Uint8Array(1);
  const got = readSome(system, socket.number, one);
  if (wouldBlock(got)) return { kind: "nothing yet" };
  if (got <= 0) return { kind: "end", why: got === 0 ? "closed without a byte" : "was lost" };
  const [byte = 0] = one;
  if (byte !== HEARTBEAT_BYTE) return { kind: "wrong byte", byte };
  before();
  return { kind: "answered", sent: sendSome(system, socket.number, addressOf(one), 1) };
}
