/** Runs the built program, and checks its messages, its time and its memory. */
import { join } from "node:path";
import { built } from "../e2e/binary/nitro.ts";
import { LIMIT_MS } from "./campaign.ts";
import type { Answer, Run } from "./place.ts";

/** The runtime's own 40 MB, and an unpacked kernel of at most 256 MiB, which is held twice. */
const MAX_KIB = 700 * 1024;
/** The limit of `nitro eif` for images of any size, unless it unpacks a kernel. */
const MAX_STREAMED_KIB = 100_000;

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  readonly peak: number;
  readonly ms: number;
  readonly late: boolean;
}

/** A runner with the peak memory of all its programs, in KiB. */
export type OutsideRunner = Run & Disposable & { readonly most: { peakKib: number } };

/** Starts the helper process that starts the programs. */
export function outsideRunner(): OutsideRunner {
  const nitro = built("nitro");
  const python = Bun.spawn(["python3", join(import.meta.dir, "runner.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = linesOf(python.stdout);
  const most = { peakKib: 0 };
  const run: Run = async (args, place) => {
    const order = { command: [nitro, ...args], cwd: place.directory, limit: LIMIT_MS / 1000 };
    python.stdin.write(`${JSON.stringify(order)}\n`);
    await python.stdin.flush();
    const { value } = await lines.next();
    const ended = JSON.parse(value ?? "") as Ended;
    most.peakKib = Math.max(most.peakKib, ended.peak);
    return answerOf(ended, args.includes("aarch64") ? MAX_KIB : MAX_STREAMED_KIB);
  };
  return Object.assign(run, {
    most,
    [Symbol.dispose]() {
      python.stdin.end();
      python.kill();
    },
  });
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
  return undefined;
}

function answerOf({ status, out, err, peak, ms, late }: Ended, mostKib: number): Answer {
  if (late) throw new Error(`still running after ${ms.toFixed(0)} ms`);
  if (peak > mostKib) throw new Error(`${peak} KiB of memory`);
  if (status === 0) return { kind: "answered", out, status };
  const lines = err.split("\n").filter((line) => !line.startsWith("nitro: warning: "));
  const sound = status === 1 && !err.includes("internal error") && !/^ +at /m.test(err);
  if (!sound) throw new Error(`status ${status}: ${err}`);
  // A verification in JSON has an exit status and no message.
  if (lines.join("") === "" && out !== "") return { kind: "answered", out, status };
  const message = /^nitro: (\S.*: .*)$/.exec(lines[0] ?? "")?.[1];
  const rest = lines.slice(1).filter((line) => line !== "");
  if (message === undefined || rest.length > 1 || rest.some((line) => !line.startsWith("hint: "))) {
    throw new Error(`not an error with its cause: ${err}`);
  }
  return { kind: "refused", message };
}
