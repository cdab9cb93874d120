/**
 * Accounts for output that its destination did not accept: a full disk, a quota, a file size limit, a network file
 * system without its server. Each of these can end, so the writer drops what does not fit and tries again with the next
 * bytes; it never stops writing.
 */
import { errnoText } from "./errors.ts";
import { ERRNO } from "./linux/errno.ts";
import { nowMs } from "./poll.ts";

/** After a destination has worked again, its next failure is reported only after this time, with the sum. */
const QUIET_MS = 1000;

/** The loss of one destination. It reports once that output fails, and once that it works again and what is missing. */
export class OutputLoss {
  #missingBytes = 0;
  #isReported = false;
  #quietUntilMs = 0;

  /** @param what the output, such as `console output to FILE`. */
  constructor(
    private readonly what: () => string,
    private readonly report: (line: string) => void,
  ) {}

  /** A write failed, and the writer drops these bytes. */
  failed(errno: number, bytes: number): void {
    this.#missingBytes += bytes;
    if (this.#isReported || nowMs() < this.#quietUntilMs) return;
    this.#isReported = true;
    const until = errno === ERRNO.EPIPE ? "a process reads it again" : "it works again";
    this.report(`${this.what()} failed: ${errnoText(errno)}; dropping output until ${until}`);
  }

  /** The destination accepted everything that it was given. */
  worked(): void {
    if (!this.#isReported) return;
    this.#isReported = false;
    this.#quietUntilMs = nowMs() + QUIET_MS;
    this.report(`${this.what()} works again; ${this.#takeMissing()}`);
  }

  /** Nothing more is written: reports what is missing and was not reported yet. */
  ended(): void {
    if (this.#missingBytes > 0) this.report(`${this.what()} has ended; ${this.#takeMissing()}`);
    this.#isReported = false;
  }

  #takeMissing(): string {
    const bytes = this.#missingBytes;
    this.#missingBytes = 0;
    return bytes === 1 ? "1 byte is missing" : `${bytes} bytes are missing`;
  }
}
