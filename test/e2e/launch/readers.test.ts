/** Readers of standard output, of messages and of a trace that do not read: none delays the launcher. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  expectNothingLeft,
  HELLO,
  LIVE_MS,
  launch,
  launchAs,
  lines,
  notHere,
  shellWords,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/**
 * Runs a command with a full pipe that is not read as the named descriptors, and `meanwhile` with its process id in p.
 * Prints the result to standard output.
 */
function unread(args: readonly string[], descriptors: readonly string[], meanwhile = ""): string[] {
  const script = `import os, signal, subprocess, sys, time
reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    while True: os.write(writing, b"x" * 4096)
except BlockingIOError: pass
os.set_blocking(writing, True)
p = subprocess.Popen(sys.argv[1:], ${descriptors.map((name) => `${name}=writing`).join(", ")})
${meanwhile}
print("status", p.wait(), flush=True)`;
  return ["python3", "-c", script, ...args];
}

const waitFor = (path: string, word: string) => `while True:
    try:
        if "${word}" in open("${path}").read(): break
    except OSError: pass
    time.sleep(0.05)`;

describe.concurrent.skipIf(notHere !== undefined)("readers that do not read", () => {
  test("messages: a reader that does not read does not keep the launch from ending", async () => {
    const result = await launch(unread(here.production(), ["stderr"]), { enclave: HELLO });
    expect([result.stdout, result.stderr]).toEqual(["status 5\n", ""]);
    expectNothingLeft(result);
  });

  test("trace: a reader that does not read, on standard error or of a FIFO, does not keep the launch from ending", async () => {
    const args = here.production("-d", "syscalls,vsock");
    const result = await launch(unread(args, ["stderr"]), { enclave: HELLO });
    expect([result.stdout, result.stderr]).toEqual(["status 5\n", ""]);
    const fifo = here.path("fifo");
    // The FIFO holds what fits; the process that has it open reads nothing.
    const script = `mkfifo ${fifo}; exec 9<>${fifo}; ${shellWords([...args, "-D", fifo])}; echo status $?`;
    const other = await launch(["sh", "-c", script], { enclave: HELLO });
    expect(other.stdout).toBe("status 5\n");
    expectNothingLeft(other);
  });

  test("console: a reader that does not read delays no signal, even if the pipe is another user's", async () => {
    const trace = here.path("console");
    const command = here.debug("-d", "vsock", "-D", trace);
    const stop = `${waitFor(trace, "console: connected")}
time.sleep(0.3)
p.send_signal(signal.SIGTERM)`;
    const enclave = { consoleFloodBytes: 2 ** 20, heartbeatMs: 1 };
    const root = await launch(unread(command, ["stdout"], stop), { enclave });
    expect(root.stdout).toBe("status 0\n");
    // It may not reopen root's pipe, so it calls poll(2) before each chunk.
    const setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const directory = here.path("unused");
    const own = [...setpriv, ...here.debug("-d", "vsock", "-D", `${directory}/console`)];
    const other = await launchAs({
      command: ["sh", "-c", `mkdir -m 777 ${directory}; exec "$@"`, "sh"].concat(
        unread(own, ["stdout"], stop.replace(trace, `${directory}/console`)),
      ),
      scenario: { deviceMode: "0666", enclave },
    });
    expect(other.stdout).toBe("status 0\n");
    expect(lines(other.stderr).at(-1)).toBe("nitro: SIGTERM: stopping the enclave");
    expectNothingLeft(other);
  });
});

describe.skipIf(notHere !== undefined)("second launch", () => {
  test("console file: a second launch detects the first one before it truncates the file", async () => {
    const [log, pid] = [here.path("log"), here.path("pid")];
    const args = shellWords(
      here.debug("-serial", `file:${log}`, "-pidfile", pid, "-D", here.path("messages")),
    );
    const script = [
      `${args} & first=$!`,
      `until [ -s ${log} ]; do sleep 0.05; done`,
      `cp ${log} ${log}.before; ${args} 2>${log}.told; echo second $?`,
      `cmp -n $(stat -c %s ${log}.before) ${log} ${log}.before && echo same`,
      "kill $first; wait $first; echo first $?",
    ].join("\n");
    const enclave = { console: ["hello", "from within"], heartbeatMs: 1, liveMs: null };
    const result = await launch(["sh", "-c", script], { enclave });
    expect(result.stdout).toBe("second 1\nsame\nfirst 0\n");
    expect(readFileSync(`${log}.told`, "utf8")).toStartWith(
      `nitro: -pidfile ${pid}: in use by another launcher`,
    );
    expect(readFileSync(log, "utf8")).toContain("hello");
    expectNothingLeft(result);
  });
});

describe.skipIf(notHere !== undefined)("suspended launcher", () => {
  test("suspended launcher: counts a heartbeat that came before the enclave exited", async () => {
    const signals = [
      { at: "exit NE_START_ENCLAVE", signal: "SIGSTOP" },
      { afterMs: 2_000, signal: "SIGCONT" },
    ];
    const enclave = { heartbeatMs: 1, liveMs: LIVE_MS };
    const result = await launch(here.production(), { enclave, signals });
    expect(result.stderr).not.toContain("heartbeat");
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });
});
