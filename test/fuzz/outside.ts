/** Runs the built program, and holds what it says, the time and the memory that it takes to what is promised. */
import { join } from "node:path";
import { built } from "../e2e/binary/nitro.ts";
import { LIMIT_MS } from "./campaign.ts";
import type { Answer, Run } from "./place.ts";

/** The runtime's own 40 MB, an image's pieces, and a kernel that is unpacked: at most 256 MiB of it, held twice. */
const MOST_KIB = 700 * 1024;
/** Without a compressed kernel: what `nitro eif` promises for whatever image. */
const MOST_STREAMED_KIB = 100_000;

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  readonly peak: number;
  readonly ms: number;
  readonly late: boolean;
}

/** What running programs comes to, and the most memory that one had, in KiB. */
export type OutsideRunner = Run & Disposable & { readonly most: { peakKib: number } };

/** Starts what starts the programs. */
export function outsideRunner(): OutsideRunner {
  const nitro = built("nitro");
  const python = Bun.spawn(["python3", join(import.meta.dir, "runner.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = linesOf(python.stdout);
  const most = { peakKib: 0 };
  const run: Run = async (words, place) => {
    const order = { command: [nitro, ...words], cwd: place.directory, limit: LIMIT_MS / 1000 };
    python.stdin.write(`${JSON.stringify(order)}\n`);
    await python.stdin.flush();
    const { value } = await lines.next();
    const ended = JSON.parse(value ?? "") as Ended;
    most.peakKib = Math.max(most.peakKib, ended.peak);
    return answerOf(ended, words.includes("aarch64") ? MOST_KIB : MOST_STREAMED_KIB);
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
  const sound = status === 1 && !err.includes("a fault of nitro's own") && !/^ +at /m.test(err);
  if (!sound) throw new Error(`status ${status}: ${err}`);
  // A verdict in JSON has the status and no message.
  if (lines.join("") === "" && out !== "") return { kind: "answered", out, status };
  const message = /^nitro: (\S.*: .*)$/.exec(lines[0] ?? "")?.[1];
  const rest = lines.slice(1).filter((line) => line !== "");
  if (message === undefined || rest.length > 1 || rest.some((line) => !line.startsWith("hint: "))) {
    throw new Error(`no error with its cause: ${err}`);
  }
  return { kind: "refused", message };
}
