/** Telnet (RFC 854): its commands are taken out of what comes in, and the byte 255 is doubled in what goes out. */
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import { sendSome } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import type { Frontend } from "./chardev.ts";

const IAC = 255;
const WILL = 251;
const DO = 253;
const SB = 250;
const SE = 240;
/** Options: binary (RFC 856), echo (RFC 857), suppress go-ahead (RFC 858). */
const BINARY = 0;
const ECHO = 1;
const SUPPRESS_GO_AHEAD = 3;
/** The client shall send every key as it is pressed, and leave the echo to us. */
const GREETING = [
  ...[IAC, WILL, ECHO],
  ...[IAC, WILL, SUPPRESS_GO_AHEAD],
  ...[IAC, WILL, BINARY],
  ...[IAC, DO, BINARY],
];

const DOUBLED = pinnedBuffer(Uint8Array.of(IAC, IAC));

/** One connection's telnet. */
export class Telnet {
  #state: "text" | "command" | "option" | "sub" | "sub-command" = "text";
  /** The second half of a doubled byte that did not fit. */
  #half = false;
  #under: Frontend | undefined;
  #over: Frontend | undefined;

  constructor(
    private readonly system: System,
    private readonly fd: number,
  ) {
    const greeting = pinnedBuffer(Uint8Array.from(GREETING));
    sendSome(system, fd, greeting.address, greeting.bytes.length);
  }

  /** A frontend that takes what comes in, without telnet's commands; it is made once. */
  over(frontend: Frontend | undefined): Frontend | undefined {
    if (this.#under === frontend) return this.#over;
    this.#under = frontend;
    this.#over = frontend === undefined ? undefined : this.#filtered(frontend);
    return this.#over;
  }

  #filtered(frontend: Frontend): Frontend {
    return {
      canReceive: () => frontend.canReceive(),
      receive: (bytes) => frontend.receive(bytes.filter((byte) => this.#isText(byte))),
      opened: () => frontend.opened(),
      closed: () => frontend.closed(),
    };
  }

  #isText(byte: number): boolean {
    switch (this.#state) {
      case "text":
        if (byte === IAC) this.#state = "command";
        // Keyboards send a return as CR NUL; NUL is no text.
        return byte !== IAC && byte !== 0;
      case "command":
        this.#state = byte === SB ? "sub" : byte >= WILL && byte < IAC ? "option" : "text";
        return byte === IAC;
      case "option":
        this.#state = "text";
        return false;
      case "sub":
        if (byte === IAC) this.#state = "sub-command";
        return false;
      case "sub-command":
        this.#state = byte === SE ? "text" : "sub";
        return false;
    }
  }

  /** Sends a block's bytes up to and including the next 255. Gives the bytes taken, or the negative errno. */
  send(block: PinnedBuffer, start: number, end: number): number {
    if (this.#half) {
      const put = sendSome(this.system, this.fd, DOUBLED.address, 1);
      if (put < 0) return put;
      this.#half = false;
    }
    if (block.bytes[start] === IAC) {
      const put = sendSome(this.system, this.fd, DOUBLED.address, 2);
      this.#half = put === 1;
      return put > 0 ? 1 : put;
    }
    const next = block.bytes.indexOf(IAC, start);
    const until = next === -1 || next > end ? end : next;
    return sendSome(this.system, this.fd, block.address + start, until - start);
  }
}
