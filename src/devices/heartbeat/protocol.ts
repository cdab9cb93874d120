/**
 * The heartbeat protocol of AWS's init (aws-nitro-enclaves-sdk-bootstrap, init.c). Once the enclave is up, init
 * connects to vsock port 9000 of CID 3, sends the byte 0xB7 and waits for the same byte. Without an answer init exits,
 * and the enclave with it. It sends one heartbeat only; other inits send none.
 */
import { readSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { POLLIN, POLLOUT } from "../../sys/linux/poll.ts";
import { sendSome, type VsockConnection } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";

/** The vsock port of the parent instance that init connects to. */
export const HEARTBEAT_PORT = 9000;
/** The CID of the parent instance, which no enclave can have. */
export const PARENT_CID = 3;
const HEARTBEAT_BYTE = 0xb7;

/** What has become of a connection; `sent` is the number of bytes of the answer, or a negative errno. */
export type PeerResult =
  | { readonly kind: "waiting" }
  | { readonly kind: "closed"; readonly why: string }
  | { readonly kind: "wrong byte"; readonly byte: number }
  | { readonly kind: "answered"; readonly sent: number };

/** A connection to the port: its peer sends a byte and receives it back. */
export class PeerConnection {
  #hasByte = false;

  constructor(
    private readonly system: System,
    readonly incoming: VsockConnection,
  ) {}

  /** The events of poll(2) that it waits for. */
  get events(): number {
    return this.#hasByte ? POLLOUT : POLLIN;
  }

  /** Reads the byte and answers a heartbeat. @param beforeAnswer records it: the answer may not be lost. */
  proceed(beforeAnswer: () => void): PeerResult {
    const { socket } = this.incoming;
    const buffer = Uint8Array.of(HEARTBEAT_BYTE);
    if (!this.#hasByte) {
      const got = readSome(this.system, socket.number, buffer);
      if (wouldBlock(got)) return { kind: "waiting" };
      if (got <= 0) return { kind: "closed", why: got === 0 ? "closed without a byte" : "connection lost" };
      const [byte = 0] = buffer;
      if (byte !== HEARTBEAT_BYTE) return { kind: "wrong byte", byte };
      this.#hasByte = true;
      beforeAnswer();
    }
    const sent = sendSome(this.system, socket.number, addressOf(buffer), 1);
    return wouldBlock(sent) ? { kind: "waiting" } : { kind: "answered", sent };
  }

  close(): void {
    this.incoming.socket.close();
  }
}
