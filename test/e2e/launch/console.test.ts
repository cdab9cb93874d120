/** The console's bytes: complete and in order, whatever receives them and however slowly. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { floodPattern } from "../../emulated-parent/console.ts";
import type { ParentResult } from "../../emulated-parent/run.ts";
import {
  CAUSE_UNKNOWN,
  entries,
  exitLine,
  expectNothingLeft,
  LIVE_MS,
  launch,
  launchAs,
  lines,
  NITRO,
  notHere,
  shellWords,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const MIB = 2 ** 20;
const END = exitLine(CAUSE_UNKNOWN.debug);
const END_LINE: string = expect.stringMatching(END);

/** Compares without printing megabytes on a difference. */
function expectFlood(got: Uint8Array, length: number): void {
  expect(got.length).toBe(length);
  expect(Buffer.compare(got, floodPattern(0, length))).toBe(0);
}

function delivered(result: ParentResult): number | undefined {
  return result.report.consoles[0]?.delivered;
}

describe.concurrent.skipIf(notHere !== undefined)("console flood", () => {
  test("console flood: 64 MiB reach the file completely", async () => {
    const path = here.path("flood");
    const enclave = { consoleFloodBytes: 64 * MIB, heartbeatMs: 1, liveMs: LIVE_MS };
    const result = await launch(here.debug("-serial", `file:${path}`), { enclave });
    expectFlood(readFileSync(path), 64 * MIB);
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test("console flood: is delivered completely before the launcher exits, long after the enclave has exited", async () => {
    const path = here.path("short");
    // The enclave exits while the hypervisor still has seven eighths of the output, which are not read yet.
    const stall = { consoleStallAfterBytes: MIB, consoleStallMs: 700 };
    const enclave = { consoleFloodBytes: 8 * MIB, heartbeatMs: null, liveMs: 400, ...stall };
    const result = await launch(here.debug("-serial", `file:${path}`), { enclave });
    expectFlood(readFileSync(path), 8 * MIB);
    expect(result.status).toBe(3);
  });

  test("console flood: is buffered for a reader that does not read, and the exited enclave's CPUs are released", async () => {
    const [kept, gate] = [here.path("kept"), here.path("gate")];
    // The pool has one core: the second launch succeeds once the first enclave is gone, and then its console is read.
    const next = shellWords(here.production());
    const script = [
      `mkfifo ${gate}`,
      `{ ${shellWords(here.debug("-d", "vsock", "-D", here.path("first")))}; echo first $? >&2; } | { read _ < ${gate}; cat; } > ${kept} &`,
      `reader=$!; until grep -qs connected ${here.path("first")}; do sleep 0.05; done`,
      `until ${next} 2> ${here.path("tries")}; [ $? = 5 ]; do sleep 0.1; done`,
      `echo second >&2; echo go > ${gate}; wait $reader`,
    ].join("\n");
    const scenario = {
      pool: "1,9",
      enclaves: [{ consoleFloodBytes: 4 * MIB, heartbeatMs: 1, liveMs: LIVE_MS }],
      enclave: { heartbeatMs: 1, liveMs: LIVE_MS },
    };
    const result = await launch(["sh", "-c", script], scenario);
    expectFlood(readFileSync(kept), 4 * MIB);
    expect(lines(result.stderr)).toEqual([
      expect.stringMatching(/^nitro: enclave started: CID 16, /),
      "second",
      END_LINE,
      "first 5",
    ]);
    expectNothingLeft(result);
  });

  test("console flood: a slow reader is waited for after the enclave's exit", async () => {
    const path = here.path("slow");
    const script = `(${shellWords(here.debug())}; echo status $? >&2) | (dd bs=1 count=1 status=none; sleep 3; cat) > ${path}`;
    const enclave = { consoleFloodBytes: 64 * MIB, heartbeatMs: 1, liveMs: LIVE_MS };
    const result = await launch(["sh", "-c", script], { enclave });
    const [ended, closed] = ["enclave exited", "slot freed"].map((what) => entries(result, what)[0]?.t ?? 0);
    expect((closed ?? 0) - (ended ?? 0)).toBeGreaterThan(1000); // the reader slept for three seconds after the first byte
    expectFlood(readFileSync(path), 64 * MIB);
    expect(lines(result.stderr).slice(1)).toEqual([END_LINE, "status 5"]);
    expectNothingLeft(result);
  });

  test("console flood: a stdout that is not read does not delay signals", async () => {
    const script = `(${shellWords(here.debug())}; echo status $? >&2; kill $$) | sleep 40`;
    const result = await launch(["sh", "-c", script], {
      enclave: { consoleFloodBytes: 64 * MIB, heartbeatMs: 1 },
      signals: [{ afterMs: 2000, signal: "SIGTERM" }],
      lingerMs: 100,
    });
    expect(result.report.wallMs).toBeLessThan(20_000);
    expect(lines(result.stderr).slice(1)).toEqual(["nitro: SIGTERM: stopping the enclave", "status 0"]);
    expect(delivered(result)).toBeLessThan(64 * MIB);
    expect(entries(result, "slot freed")[0]).toMatchObject({ wasRunning: true });
  });
});

describe.concurrent.skipIf(notHere !== undefined)("stdout", () => {
  const enclave = { console: ["first"], consoleFloodBytes: 3 * MIB, heartbeatMs: 1, liveMs: LIVE_MS };
  const kinds = [
    { name: "a file", kind: /^\//, tail: (path: string) => `> ${path}` },
    { name: "a pipe", kind: /^pipe:/, tail: (path: string) => `| cat > ${path}` },
    {
      name: "a pipe with a slow reader",
      kind: /^pipe:/,
      tail: (path: string) => `| (sleep 1; cat) > ${path}`,
    },
  ];
  for (const [i, { name, kind, tail }] of kinds.entries()) {
    test(`stdout: ${name} receives every byte`, async () => {
      const path = here.path(`out.${i}`);
      const script = `(readlink /proc/self/fd/3 3>&1 >&2; exec ${shellWords(here.debug())}) ${tail(path)}`;
      const result = await launch(["sh", "-c", script], { enclave });
      expect(lines(result.stderr)[0]).toMatch(kind);
      const got = readFileSync(path);
      expect(got.subarray(0, 6).toString()).toBe("first\n");
      expectFlood(got.subarray(6), 3 * MIB);
    });
  }

  test("stdout: a socket receives every byte", async () => {
    // Bun uses sockets for the standard streams of its children.
    const script = `readlink /proc/self/fd/3 3>&1 >&2; exec ${shellWords(here.debug())}`;
    const run = startLaunch({ command: ["sh", "-c", script], scenario: { enclave } });
    const got = await new Response(run.process.stdout).bytes();
    const result = await run.finished();
    expect(lines(result.stderr)[0]).toMatch(/^socket:/);
    expectFlood(got.subarray(6), 3 * MIB);
  });

  test("stdout: a socket with a slow reader receives every byte", async () => {
    const path = here.path("socket");
    const reader = here.file(
      "reader.ts",
      `const [path, ...command] = process.argv.slice(2);
       const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
       Bun.sleepSync(1000);
       await Bun.write(path, await new Response(child.stdout).bytes());
       process.exit(await child.exited);`,
    );
    const result = await launch([process.execPath, reader, path, ...here.debug()], { enclave });
    expectFlood(readFileSync(path).subarray(6), 3 * MIB);
    expect(result.status).toBe(5);
  });

  test("stdout: a pipe whose reader exits early is reported, and the enclave keeps running", async () => {
    const script = `(${shellWords(here.debug())}; echo status $? >&2) | head -c 10`;
    const result = await launch(["sh", "-c", script], { enclave: { ...enclave, liveMs: 600 } });
    expect(result.stdout).toBe("first\nfloo");
    expect(lines(result.stderr).slice(1)).toEqual([
      "nitro: console output to standard output failed: Broken pipe (EPIPE); dropping output until a process reads it again",
      expect.stringMatching(/^nitro: console output to standard output has ended; \d+ bytes are missing$/),
      END_LINE,
      "status 5",
    ]);
    expect(entries(result, "enclave exited")[0]).toMatchObject({ reason: "liveMs elapsed" });
    expect(delivered(result)).toBe(6 + 3 * MIB);
    expectNothingLeft(result);
  });

  test("stdout: a closed descriptor does not prevent a launch", async () => {
    const script = `exec ${shellWords([NITRO, "-kernel", here.eif, "-m", "64M"])} >&-`;
    const result = await launch(["sh", "-c", script], { enclave: { heartbeatMs: 1, liveMs: LIVE_MS } });
    expect(lines(result.stderr).at(-1)).toMatch(exitLine(CAUSE_UNKNOWN.production));
    expect(result.status).toBe(5);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("console", () => {
  test("console: a full disk is reported, and the enclave keeps running", async () => {
    const enclave = { console: ["hello"], heartbeatMs: 1, liveMs: LIVE_MS };
    const result = await launch(here.debug("-serial", "file:/dev/full"), { enclave });
    expect(lines(result.stderr).slice(1)).toEqual([
      "nitro: console output to /dev/full failed: No space left on device (ENOSPC); dropping output until it works again",
      "nitro: console output to /dev/full has ended; 6 bytes are missing",
      END_LINE,
    ]);
    expect(result.status).toBe(5);
  });

  test("console: is read for the exit status even if it is discarded", async () => {
    const text = ["hello", "Kernel panic - not syncing: late"];
    const enclave = { console: text, consoleEveryMs: 80, heartbeatMs: 1, liveMs: 500 };
    const result = await launch(here.debug("-serial", "file:/dev/full"), { enclave });
    expect(result.status).toBe(4);
  });

  test("console: an output that cannot be opened is reported before the enclave is created", async () => {
    const result = await launch(here.debug("-serial", `file:${here.directory}/no/such`));
    expect(result.stderr).toStartWith(
      `nitro: -serial file:${here.directory}/no/such: No such file or directory`,
    );
    expect(result.status).toBe(1);
    expect(entries(result, "bind")).toEqual([]);
  });

  test("console: a port that accepts late is waited for, and no byte is lost", async () => {
    const enclave = { console: ["from the first", "to the last"], consoleDelayMs: 300, liveMs: 1200 };
    const result = await launch(here.debug(), { enclave });
    expect(result.stdout).toBe("from the first\nto the last\n");
    expect(entries(result, "connect").length).toBeGreaterThan(1);
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test("console: continues after a pause", async () => {
    const enclave = {
      ...{ consoleFloodBytes: 2 * MIB, consoleStallAfterBytes: MIB, consoleStallMs: 1300 },
      liveMs: 1700,
    };
    const path = here.path("stalled");
    const result = await launchAs({ command: here.debug("-serial", `file:${path}`), scenario: { enclave } });
    expect(entries(result, "console stalls")).toHaveLength(1);
    expectFlood(readFileSync(path), 2 * MIB);
    expect(result.status).toBe(5);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("console file", () => {
  const fifo = here.path("fifo");
  const cases: [what: string, path: string, why: string][] = [
    ["whose directory is not there", "/no/such/file", "No such file or directory (ENOENT)"],
    ["that is a directory", here.directory, "Is a directory (EISDIR)"],
    ["that is a FIFO without a reader", fifo, "No such device or address (ENXIO)"],
  ];
  test.each(cases)(
    "console file: %s is reported before an enclave is created, and nothing is left behind",
    async (_, path, why) => {
      if (path === fifo) expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
      const result = await launch(here.debug("-serial", `file:${path}`));
      expect(lines(result.stderr)[0]).toBe(`nitro: -serial file:${path}: ${why}`);
      expect(result.status).toBe(1);
      expect(entries(result, "NE_CREATE_VM")).toEqual([]);
      expectNothingLeft(result);
    },
  );
});
