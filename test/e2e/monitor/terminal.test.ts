/** nitro on a pseudoterminal: the mux's keys, the monitor's prompt, and the terminal's settings afterwards. */
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
  /** Whether the terminal's settings changed during the run. */
  readonly changed: boolean;
  /** Whether the settings were restored at the end. */
  readonly restored: boolean;
  readonly status: number;
  /** The pattern that a step timed out on. */
  readonly missing: string | null;
}

const PARENT = new URL("../../emulated-parent/main.ts", import.meta.url).pathname;

/**
 * Records the terminal's settings before and after nitro. The emulated parent's own runtime restores them at its exit,
 * which would hide a missing restore in nitro. The trap leaves SIGINT and SIGQUIT from the terminal to nitro.
 */
const STTY_WRAPPER = 'trap : INT QUIT; stty -g >"$0.before"; "$@"; S=$?; stty -g >"$0.after"; exit $S';
let runs = 0;

/** Launches in debug mode on a new pseudoterminal. */
async function onTerminal(
  args: readonly string[],
  steps: readonly Step[],
  scenario: ScenarioInput = {},
): Promise<Outcome> {
  const enclave = { console: ["hello", "from within"], heartbeatMs: 1, ...scenario.enclave };
  const settings = JSON.stringify({ memory: "stand-in", ...scenario, enclave });
  const sttyFile = here.path(`stty${runs++}`);
  const command = [
    "sh",
    "-c",
    STTY_WRAPPER,
    sttyFile,
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
      ...args,
    ],
    { stdout: "pipe", stdin: "ignore", stderr: "inherit" },
  );
  const outcome = JSON.parse(await new Response(process.stdout).text());
  const [before, after] = ["before", "after"].map((when) => readFileSync(`${sttyFile}.${when}`, "utf8"));
  expect(before).not.toBe("");
  return { ...outcome, restored: outcome.restored && before === after };
}

const PROMPT = "\\(qemu\\) ";

describe.skipIf(notHere !== undefined)("-nographic on a terminal", () => {
  test("-nographic: starts at the console, switches to the monitor with Ctrl-A c, exits with Ctrl-A x", async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [
        { wait: "from within", type: "dropped, because the console has no input\x01c" },
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
    expect(outcome).toMatchObject({ changed: true, restored: true, status: 0 });
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
    ["a launch that fails", [{ wait: "nitro: .*hint" }], { pool: "" }, 1],
  ];
  test.each(cases)("-nographic: restores the terminal after %s", async (_, steps, scenario, status) => {
    const outcome = await onTerminal(["-nographic"], steps, scenario);
    expect([outcome.missing, outcome.restored, outcome.status]).toEqual([null, true, status]);
  });

  test("-echr 0x14: Ctrl-T starts the commands, and Ctrl-A is an ordinary key", async () => {
    const outcome = await onTerminal(
      ["-nographic", "-echr", "0x14"],
      [
        { wait: "from within", type: "\x01x\x14h" },
        { wait: "C-t C-t +sends C-t", type: "\x14c" },
        { wait: PROMPT, type: "\x14x" },
        { wait: "Terminated" },
      ],
    );
    expect([outcome.missing, outcome.status]).toEqual([null, 0]);
  });

  test.each([
    ["-nographic", ["-nographic"]],
    ["-serial mon:stdio", ["-serial", "mon:stdio"]],
  ])("%s: Ctrl-C does not stop the enclave; the first one prints what does", async (_, args) => {
    const outcome = await onTerminal(args, [
      { wait: "from within", type: "\x03" },
      { wait: "nitro: Ctrl-C does not stop the enclave; Ctrl-A x quits\r?\n", type: "\x03\x01c" },
      { wait: PROMPT, type: "\x03info status\r" },
      { wait: `VM status: running.*${PROMPT}`, type: "\x01x" },
      { wait: "Terminated" },
    ]);
    expect([outcome.missing, outcome.restored, outcome.status]).toEqual([null, true, 0]);
    expect(outcome.output.split("Ctrl-A x quits")).toHaveLength(2);
  });

  test("-nographic: Ctrl-C explains the key of -echr", async () => {
    const outcome = await onTerminal(
      ["-nographic", "-echr", "20"],
      [
        { wait: "from within", type: "\x03" },
        { wait: "Ctrl-T x quits", type: "\x14x" },
        { wait: "Terminated" },
      ],
    );
    expect([outcome.missing, outcome.status]).toEqual([null, 0]);
  });

  test("-nographic: Ctrl-C stops a launch that waits for port 9000, before any key is read", async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [{ wait: "port 9000", type: "\x03" }, { wait: "SIGINT: stopped" }],
      { takenPorts: [9000] },
    );
    expect([outcome.missing, outcome.restored, outcome.status]).toEqual([null, true, 0]);
  });

  test("-nographic: Ctrl-A t puts a timestamp before each line", async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [{ wait: "line 1", type: "\x01t" }, { wait: "\\[00:00:0\\d\\.\\d{3}\\] line \\d" }, { type: "\x01x" }],
      { enclave: { console: Array.from({ length: 30 }, (_, i) => `line ${i}`), consoleEveryMs: 60 } },
    );
    expect([outcome.missing, outcome.status]).toEqual([null, 0]);
  });
});

test.skipIf(notHere !== undefined)("-monitor stdio: Ctrl-C still stops the enclave", async () => {
  const args = ["-monitor", "stdio", "-serial", "null"];
  const outcome = await onTerminal(args, [
    { wait: PROMPT, type: "\x03" },
    { wait: "SIGINT: stopping the enclave" },
  ]);
  const { missing, changed, restored, status } = outcome;
  expect([missing, changed, restored, status]).toEqual([null, true, true, 0]);
});

test.skipIf(notHere !== undefined)("-nographic: makes the terminal raw again after SIGCONT", async () => {
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
  const { missing, changed, restored, status } = outcome;
  expect([missing, changed, restored, status]).toEqual([null, true, true, 0]);
});

test.skipIf(notHere !== undefined)(
  "-nographic: leaves the terminal alone in the background, and does not hang",
  async () => {
    const outcome = await onTerminal(
      ["-nographic"],
      [{ wait: "from within", background: true }, { signal: "SIGTERM" }],
    );
    // A background process must not change the terminal, so its settings stay raw.
    expect([outcome.missing, outcome.changed, outcome.status]).toEqual([null, true, 0]);
  },
);

test.skipIf(notHere !== undefined)(
  "no monitor: the terminal is not changed, and Ctrl-C stops the enclave",
  async () => {
    const outcome = await onTerminal([], [{ wait: "from within", type: "\x03" }]);
    expect([outcome.missing, outcome.changed, outcome.restored, outcome.status]).toEqual([
      null,
      false,
      true,
      0,
    ]);
  },
);
