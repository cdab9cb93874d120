/**
 * Output to a file that cannot grow for a while: a full disk, a file size limit. The enclave keeps running, what comes
 * later is written, and standard error reports how much is missing.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { expectNothingLeft, launch, lines, notHere, shellWords, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** A console that outlasts every test; the script stops the launcher. */
const CONSOLE = Array.from({ length: 6_000 }, (_, i) => `line ${i} ${"x".repeat(100)}`);
const ENCLAVE = { console: CONSOLE, consoleEveryMs: 10, heartbeatMs: 1 };

/** Waits in a script until standard error of the launcher contains this text, and as long as the launcher runs. */
const until = (err: string, text: string) =>
  `until grep -qs ${shellWords([text])} ${err}; do kill -0 $nitro || exit 9; sleep 0.02; done`;

const MISSING = /(?:works again|has ended); (\d+) bytes? (?:is|are) missing$/gm;

/** Asserts that the file ends with the bytes that end where the reported number of missing bytes places them. */
function expectComplete(file: string, stderr: string): void {
  const missing = [...stderr.matchAll(MISSING)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  const written = readFileSync(file, "latin1");
  const sent = CONSOLE.join("\n").slice(0, written.length + missing);
  expect(missing).toBeGreaterThan(0);
  expect(sent.slice(-100)).toBe(written.slice(-100));
}

/** How a launch writes to a file: its further arguments, the redirection of its output, and what messages call it. */
interface Output {
  readonly args: readonly string[];
  readonly redirect: string;
  readonly what: string;
}

const outputs = (file: string): readonly (readonly [string, Output])[] => [
  ["-serial file:", { args: ["-serial", `file:${file}`], redirect: "", what: `console output to ${file}` }],
  ["standard output", { args: [], redirect: `>> ${file}`, what: "console output to standard output" }],
  [
    "logfile=",
    {
      args: ["-chardev", `null,id=c,logfile=${file}`, "-serial", "chardev:c"],
      redirect: "",
      what: `output to the log file ${file}`,
    },
  ],
  ["-D", { args: ["-d", "syscalls", "-D", file], redirect: "> /dev/null", what: `trace output to ${file}` }],
];

describe.concurrent.skipIf(notHere !== undefined)("full disk", () => {
  test.each(outputs("disk/file"))(
    "full disk: loses only what %s writes meanwhile, and the loss is reported",
    async (name, output) => {
      const [err, copy] = [here.path(`${name}.err`), here.path(`${name}.copy`)].map((path) =>
        path.replaceAll(" ", "-"),
      );
      const script = [
        `cd ${here.directory}; mkdir -p disk; mount -t tmpfs -o size=64k none disk || exit 8`,
        "head -c 64k /dev/zero > disk/fill",
        `${shellWords(here.debug(...output.args))} ${output.redirect} 2> ${err} & nitro=$!`,
        until(`${err}`, "dropping output"),
        "rm disk/fill",
        until(`${err}`, "works again;"),
        // Output continues.
        "size=$(stat -c %s disk/file); until [ $(stat -c %s disk/file) != $size ]; do sleep 0.02; done",
        `kill $nitro; wait $nitro; echo status $?; cp disk/file ${copy}`,
      ].join("\n");
      const result = await launch(["unshare", "-m", "sh", "-c", script], { enclave: ENCLAVE });
      expect([result.stdout, result.stderr]).toEqual(["status 0\n", ""]);
      const stderr = readFileSync(`${err}`, "utf8");
      expect(
        lines(stderr)
          .filter((line) => line.includes(output.what))
          .slice(0, 2),
      ).toEqual([
        `nitro: ${output.what} failed: No space left on device (ENOSPC); dropping output until it works again`,
        expect.stringMatching(/works again; \d+ bytes are missing$/),
      ]);
      if (name !== "-D") {
        expectComplete(`${copy}`, stderr);
      }
      expectNothingLeft(result);
    },
  );
});

describe.concurrent.skipIf(notHere !== undefined)("file size limit", () => {
  test("file size limit: is EFBIG, not SIGXFSZ; when the file is truncated, output continues", async () => {
    const [file, err] = [here.path("limited"), here.path("limited.err")];
    const script = [
      `${shellWords(here.debug("-serial", `file:${file}`))} 2> ${err} & nitro=$!`,
      until(err, "enclave started"),
      "prlimit --pid $nitro --fsize=1000",
      until(err, "dropping output"),
      `: > ${file}`,
      until(err, "works again;"),
      "kill $nitro; wait $nitro; echo status $?",
    ].join("\n");
    const result = await launch(["sh", "-c", script], { enclave: ENCLAVE });
    expect([result.stdout, result.stderr]).toEqual(["status 0\n", ""]);
    expect(lines(readFileSync(err, "utf8"))[1]).toBe(
      `nitro: console output to ${file} failed: File too large (EFBIG); dropping output until it works again`,
    );
    // No hole: the first byte is the console's.
    expect(readFileSync(file)[0]).not.toBe(0);
    expectNothingLeft(result);
  });

  test("file size limit: when it is raised, standard output and a trace continue", async () => {
    const [file, trace, err] = [here.path("raised"), here.path("raised.trace"), here.path("raised.err")];
    const script = [
      `${shellWords(here.debug("-d", "syscalls", "-D", trace))} > ${file} 2> ${err} & nitro=$!`,
      until(err, "enclave started"),
      "prlimit --pid $nitro --fsize=1000:",
      until(err, "console output .* dropping output"),
      until(err, "trace output .* dropping output"),
      "prlimit --pid $nitro --fsize=unlimited:",
      until(err, "console output .* works again;"),
      until(err, "trace output .* works again;"),
      "kill $nitro; wait $nitro; echo status $?",
    ].join("\n");
    const result = await launch(["sh", "-c", script], { enclave: ENCLAVE });
    expect([result.stdout, result.stderr]).toEqual(["status 0\n", ""]);
    const stderr = readFileSync(err, "utf8")
      .split("\n")
      .filter((line) => line.includes("console output"))
      .join("\n");
    expectComplete(file, stderr);
    expectNothingLeft(result);
  });
});
