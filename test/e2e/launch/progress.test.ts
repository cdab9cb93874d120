/** The bar on a terminal for steps of more than half a second. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { expectNothingLeft, LIVE_MS, launch, notHere, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());
// Tests wait for each other as well.
setDefaultTimeout(600_000);

const PARENT = new URL("../../emulated-parent/main.ts", import.meta.url).pathname;
const WITH_TERMINAL = join(import.meta.dir, "../monitor/with-terminal.py");

/** The last message. */
const END = JSON.stringify([{ wait: "the enclave \\(CID", limit: 240 }]);

/** Each chunk of the memory takes longer than half a second. */
const slowFaults = {
  memory: "stand-in" as const,
  faults: [{ call: "fallocate", delayMs: 700 }],
  enclave: { heartbeatMs: 1, liveMs: LIVE_MS },
};

function args(threads: number): string[] {
  const object = `memory-backend-memfd,id=m,size=256M,prealloc-threads=${threads}`;
  return [...here.production().slice(0, -2), "-object", object, "-machine", "memory-backend=m"];
}

/** Returns what a launch prints on a terminal. */
async function onTerminal(command: readonly string[]): Promise<string> {
  const { execPath } = globalThis.process;
  const parent = [execPath, PARENT, "--limit", "240", "-j", JSON.stringify(slowFaults), "--"];
  const process = Bun.spawn(["python3", WITH_TERMINAL, END, ...parent, ...command], {
    stdout: "pipe",
    stdin: "ignore",
    stderr: "inherit",
  });
  const { output } = JSON.parse(await new Response(process.stdout).text()) as { output: string };
  return output;
}

describe.concurrent.skipIf(notHere !== undefined)("progress bar", () => {
  test.each([1, 2])("progress bar: %d threads draw it on a terminal, and it is erased", async (threads) => {
    const output = await onTerminal(args(threads));
    const [bars = "", rest = ""] = output.split("\r\x1b[Knitro: enclave started");
    const drawn = bars.split("\r").filter((text) => text !== "");
    expect(drawn.length).toBeGreaterThan(1);
    for (const bar of drawn) {
      expect(bar).toMatch(/^memory 256 MiB \[#* *\] +\d+% of 269 MB/);
      expect(bar).toEndWith("MB\x1b[K");
    }
    const parts = drawn.map((bar) => Number(/(\d+)%/.exec(bar)?.[1]));
    expect(parts).toEqual(parts.toSorted((a, b) => a - b));
    expect(parts.at(-1)).toBeGreaterThanOrEqual(50);
    expect(rest).not.toContain("\x1b");
  });

  test("progress bar: is not drawn if standard error is not a terminal", async () => {
    const result = await launch(args(1), slowFaults);
    expect(result.stderr).toStartWith("nitro: enclave started");
    for (const drawing of ["\r", "\x1b"]) expect(result.stderr).not.toContain(drawing);
    expectNothingLeft(result);
  });

  test("progress bar: is not drawn over a trace on the same terminal", async () => {
    const output = await onTerminal([...args(1), "-d", "syscalls"]);
    expect(output).toContain("fallocate(");
    expect(output).not.toContain("\x1b");
  });
});
