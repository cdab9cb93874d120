/** Telnet (RFC 854): removes commands from the input and doubles the byte 255 (IAC) in the output. */
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import { sendSome } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import type { Frontend } from "./chardev.ts";

const IAC = 255;
const WILL = 251;
const DO = 253;
const SB = 250;
const SE = 240;
/** Options: binary transmission (RFC 856), echo (RFC 857), suppress go-ahead (RFC 858). */
const BINARY = 0;
const ECHO_OPTION = 1;
const SUPPRESS_GO_AHEAD = 3;
/** Asks the client for character mode: send each key at once and leave the echo to the server. */
const NEGOTIATION = [
  ...[IAC, WILL, ECHO_OPTION],
  ...[IAC, WILL, SUPPRESS_GO_AHEAD],
  ...[IAC, WILL, BINARY],
  ...[IAC, DO, BINARY],
];

const DOUBLED_IAC = pinnedBuffer(Uint8Array.of(IAC, IAC));

/** The telnet state of one connection. Construction sends the option negotiation. */
export class Telnet {
  #state: "data" | "command" | "option" | "subnegotiation" | "subnegotiation-command" = "data";
  /** Whether the second byte of a doubled IAC is still to be sent. */
  #halfSent = false;
  #frontend: Frontend | undefined;
  #filter: Frontend | undefined;

  constructor(
    private readonly system: System,
    private readonly fd: number,
  ) {
    const negotiation = pinnedBuffer(Uint8Array.from(NEGOTIATION));
    sendSome(system, fd, negotiation.address, negotiation.bytes.length);
  }

  /** Returns a frontend that receives raw input and passes it on without telnet's commands. */
  filterInput(frontend: Frontend | undefined): Frontend | undefined {
    if (this.#frontend === frontend) return this.#filter;
    this.#frontend = frontend;
    this.#filter = frontend && {
      canReceive: () => frontend.canReceive(),
      receive: (bytes) => frontend.receive(bytes.filter((byte) => this.#isData(byte))),
      opened: () => frontend.opened(),
      closed: () => frontend.closed(),
    };
    return this.#filter;
  }

  #isData(byte: number): boolean {
    switch (this.#state) {
      case "data":
        if (byte === IAC) this.#state = "command";
        // RFC 854: a client sends the return key as CR NUL.
        return byte !== IAC && byte !== 0;
      case "command":
        this.#state = byte === SB ? "subnegotiation" : byte >= WILL && byte < IAC ? "option" : "data";
        return byte === IAC;
      case "option":
        this.#state = "data";
        return false;
      case "subnegotiation":
        if (byte === IAC) this.#state = "subnegotiation-command";
        return false;
      case "subnegotiation-command":
        this.#state = byte === SE ? "data" : "subnegotiation";
        return false;
    }
  }

  /**
   * Sends the buffer's bytes up to the next IAC, or an IAC at the start, doubled.
   * Returns how many of the buffer's bytes were sent, or the negative errno.
   */
  send(buffer: PinnedBuffer, start: number, end: number): number {
    if (this.#halfSent) {
      const sent = sendSome(this.system, this.fd, DOUBLED_IAC.address, 1);
      if (sent < 0) return sent;
      this.#halfSent = false;
    }
    if (buffer.bytes[start] === IAC) {
      const sent = sendSome(this.system, this.fd, DOUBLED_IAC.address, 2);
      this.#halfSent = sent === 1;
      return sent > 0 ? 1 : sent;
    }
    const next = buffer.bytes.indexOf(IAC, start);
    const until = next === -1 || next > end ? end : next;
    return sendSome(this.system, this.fd, buffer.address + start, until - start);
  }
}
