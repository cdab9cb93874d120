/** A real terminal with a launcher on it: the mux's keys, the prompt, and the terminal's settings afterwards. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { NITRO, notHere, Workplace } from "../launch/nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

interface Step {
  readonly wait?: string;
  readonly type?: string;
  readonly signal?: string;
  readonly reset?: true;
  readonly background?: true;
}

interface Outcome {
  readonly output: string;
  readonly changed: boolean;
  readonly same: boolean;
  readonly status: number;
  readonly missing: string | null;
}

const PARENT = new URL("../../emulated-parent/main.ts", import.meta.url).pathname;

/**
 * A shell tells the settings before and after: the parent instance's own runtime puts a terminal back when it ends, and
 * would hide what the launcher has left. Signals of the terminal's keys are the launcher's business.
 */
const AROUND = 'trap : INT QUIT; stty -g >"$0.before"; "$@"; S=$?; stty -g >"$0.after"; exit $S';
let runs = 0;

/** Runs a launch in debug mode on a terminal of its own. */
async function onTerminal(
  words: readonly string[],
  steps: readonly Step[],
  scenario: ScenarioInput = {},
): Promise<Outcome> {
  const enclave = { console: ["hello", "from within"], heartbeatMs: 1, ...scenario.enclave };
  const settings = JSON.stringify({ memory: "stand-in", ...scenario, enclave });
  const notes = here.path(`stty${runs++}`);
  const command = [
    "sh",
    "-c",
    AROUND,
    notes,
    NITRO,
    "-accel",
    "nitro,debug-mode=on,enclave-cid=16",
    "-kernel",
    here.eif,
    "-m",
    "64M",
  ];
  const process = Bun.spawn(
    [
      "python3",
      join(import.meta.dir, "with-terminal.py"),
      JSON.stringify(steps),
      globalThis.process.execPath,
      PARENT,
      "--limit",
      "40",
      "-j",
      settings,
      "--",
      ...command,
      ...words,
    ],
    { stdout: "pipe", stdin: "ignore", stderr: "inherit" },
  );
  const outcome = JSON.parse(await new Response(process.stdout).text());
  const [before, after] = ["before", "after"].map((when) => readFileSync(`${notes}.${when}`, "utf8"));
  expect(before).not.toBe("");
  return { ...outcome, same: outcome.same && before === after };
}

const PROMPT = "\\(qemu\\) ";

describe.skipIf(notHere !== undefined)("-nographic on a terminal", () => {
  test("has the console first, a monitor behind Ctrl-A c, and ends with Ctrl-A x", async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [
        { wait: "from within", type: "typed at the console, which takes nothing\x01c" },
        {
          wait: `monitor - type 'help'.*${PROMPT}`,
          type: "qom-get /machine/peripheral/nitro-vsock enclave-cid\r",
        },
        { wait: `\n16\r.*${PROMPT}`, type: "info stat\t\r" },
        { wait: `VM status: running.*${PROMPT}`, type: "\x1b[A\x1b[A\r" },
        { wait: `\n16\r.*${PROMPT}`, type: "info vXrsion\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7fe\x05\r" },
        { wait: `nitro \\d.*${PROMPT}`, type: "\x01h" },
        { wait: "C-a C-a +sends C-a", type: "\x01\x01\x01t\x01s\x01b\x01c\x01c" },
        { wait: PROMPT, type: "\x01x" },
        { wait: "Terminated" },
      ],
    );
    expect(outcome.missing).toBeNull();
    expect(outcome).toMatchObject({ changed: true, same: true, status: 0 });
  });

  const cases: readonly [string, readonly Step[], ScenarioInput, number][] = [
    [
      "quit",
      [
        { wait: "from within", type: "\x01c" },
        { wait: PROMPT, type: "quit\r" },
      ],
      {},
      0,
    ],
    ["SIGTERM", [{ wait: "from within", signal: "SIGTERM" }], {}, 0],
    ["SIGHUP", [{ wait: "from within", signal: "SIGHUP" }], {}, 0],
    ["SIGQUIT", [{ wait: "from within", signal: "SIGQUIT" }], {}, 0],
    [
      "a crash of the enclave",
      [{ wait: "from within" }, { wait: "crashed" }],
      { enclave: { liveMs: 300, console: ["from within", "Kernel panic - not syncing: oops"] } },
      4,
    ],
    ["a launch that cannot be", [{ wait: "nitro: .*hint" }], { pool: "" }, 1],
  ];
  test.each(cases)("the terminal is as it was after %s", async (_, steps, scenario, status) => {
    const outcome = await onTerminal(["-nographic"], steps, scenario);
    expect([outcome.missing, outcome.same, outcome.status]).toEqual([null, true, status]);
  });

  test("timestamps stand before each line when they are asked for", async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [{ wait: "line 1", type: "\x01t" }, { wait: "\\[00:00:0\\d\\.\\d{3}\\] line \\d" }, { type: "\x01x" }],
      { enclave: { console: Array.from({ length: 30 }, (_, i) => `line ${i}`), consoleEveryMs: 60 } },
    );
    expect([outcome.missing, outcome.status]).toEqual([null, 0]);
  });
});

test.skipIf(notHere !== undefined)("a monitor on stdio leaves Ctrl-C to the terminal", async () => {
  const words = ["-monitor", "stdio", "-serial", "null"];
  const outcome = await onTerminal(words, [
    { wait: "started: CID", type: "\x03" },
    { wait: "SIGINT: stopping the enclave" },
  ]);
  const { missing, changed, same, status } = outcome;
  expect([missing, changed, same, status]).toEqual([null, true, true, 0]);
});

test.skipIf(notHere !== undefined)(
  "a process that was stopped has its terminal again when it goes on",
  async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [
        { wait: "from within", signal: "SIGSTOP" },
        { reset: true },
        { signal: "SIGCONT" },
        { wait: "unseen|", type: "\x01c" },
        { wait: PROMPT, type: "info status\r" },
        { wait: "running", type: "\x01x" },
      ],
    );
    const { missing, changed, same, status } = outcome;
    expect([missing, changed, same, status]).toEqual([null, true, true, 0]);
  },
);

test.skipIf(notHere !== undefined)(
  "a terminal that is others' by then is left to them, and nothing hangs",
  async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [{ wait: "from within", background: true }, { signal: "SIGTERM" }],
    );
    // The shell around it tells the settings that the launcher has left: raw ones, for the terminal was not its own.
    expect([outcome.missing, outcome.changed, outcome.status]).toEqual([null, true, 0]);
  },
);

test.skipIf(notHere !== undefined)(
  "without a monitor the terminal is not touched, and Ctrl-C stops",
  async () => {
    const outcome = await onTerminal([], [{ wait: "from within", type: "\x03" }]);
    expect([outcome.missing, outcome.changed, outcome.same, outcome.status]).toEqual([null, false, true, 0]);
  },
);
