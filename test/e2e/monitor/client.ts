/** A client of a monitor or console socket. */
import { createConnection, type Socket } from "node:net";

const CONNECT_TIMEOUT_MS = 20_000;
const READ_TIMEOUT_MS = 10_000;

/** Connects to a UNIX socket; retries until a process listens on it. */
export async function connectSocket(path: string): Promise<Socket> {
  for (const deadline = performance.now() + CONNECT_TIMEOUT_MS; ; await Bun.sleep(10)) {
    const socket = createConnection(path);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    if (connected) return socket;
    if (performance.now() > deadline) throw new Error(`no process listens on ${path}`);
  }
}

/** A connection with a buffer of what has been received and not yet matched. */
export class MonitorClient {
  #received = "";
  #notify = () => {};

  private constructor(private readonly socket: Socket) {
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      this.#received += String(text);
      this.#notify();
    });
    socket.on("close", () => this.#notify());
    socket.on("error", () => this.#notify());
  }

  /** Connects to a UNIX socket; retries until a process listens on it. */
  static async connect(path: string): Promise<MonitorClient> {
    return new MonitorClient(await connectSocket(path));
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Waits for the pattern and returns everything up to the end of its match. */
  async until(pattern: RegExp): Promise<string> {
    for (const deadline = performance.now() + READ_TIMEOUT_MS; ; ) {
      const match = pattern.exec(this.#received);
      if (match !== null) {
        const end = match.index + match[0].length;
        const text = this.#received.slice(0, end);
        this.#received = this.#received.slice(end);
        return text;
      }
      if (performance.now() > deadline)
        throw new Error(`timed out waiting for ${pattern}, received: ${this.#received.slice(-500)}`);
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
        setTimeout(resolve, 200);
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
