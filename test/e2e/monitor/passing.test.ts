/** Sockets and files that the caller or a client passes: fd=, -add-fd, QMP's getfd and add-fd, QEMUMachine. */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { expectNothingLeft, launchAs, notHere, Workplace } from "../launch/nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const QUIET: ScenarioInput = { enclave: { console: ["hello", "from within"], heartbeatMs: 1 } };

/** Runs a scenario of passing.py and returns the values that it prints. */
async function pass(name: string, env: Record<string, string> = {}): Promise<unknown[]> {
  const script = join(import.meta.dir, "passing.py");
  const command = ["python3", script, name, ...here.debug("-name", "app")];
  const result = await launchAs({
    command,
    scenario: QUIET,
    cwd: here.directory,
    env: { ...process.env, ...env },
  });
  expect(result.stderr).not.toContain("Traceback");
  expectNothingLeft(result);
  return result.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

const GREETING = { greeting: ["QMP"] };
const NEGOTIATED = { qmp_capabilities: {} };

describe.skipIf(notHere !== undefined)("passed descriptors", () => {
  test("-qmp unix:fd=N: serves a connected socket", async () => {
    expect(await pass("connected")).toEqual([
      GREETING,
      NEGOTIATED,
      { "query-status": { status: "running", running: true } },
      { quit: {} },
      { status: 0 },
    ]);
  });

  test("fd=N,server=on: accepts clients of a listening socket, whose file stays", async () => {
    expect(await pass("listening")).toEqual([
      GREETING,
      NEGOTIATED,
      { "query-name": { name: "app" } },
      GREETING,
      NEGOTIATED,
      { quit: {} },
      { status: 0, socket: true },
    ]);
  });

  test("-add-fd, getfd and add-fd: answer as QEMU does", async () => {
    const answers = await pass("sets");
    const chardevs = answers.find((answer) => Object.hasOwn(Object(answer), "query-chardev"));
    expect(answers.filter((answer) => answer !== chardevs)).toEqual([
      GREETING,
      NEGOTIATED,
      { "query-fdsets": [{ "fdset-id": 3, fds: [{ fd: expect.any(Number), opaque: "a log" }] }] },
      { sets: [[3, "a log"]] },
      { getfd: "No file descriptor supplied via SCM_RIGHTS" },
      { getfd: "Parameter 'fdname' expects a name not starting with a digit" },
      { getfd: {} },
      { closefd: "File descriptor named 'y' not found" },
      { "chardev-add": {} },
      { "chardev-add": "Failed to add chardev 't': File descriptor named 'x' has not been found" },
      { "object-add": expect.any(String) },
      { getfd: {} },
      { closefd: {} },
      { "add-fd": "No file descriptor supplied via SCM_RIGHTS" },
      { "add-fd": { "fdset-id": 0, fd: expect.any(Number) } },
      { set: 0 },
      { "add-fd": "Parameter 'fdset-id' expects a non-negative value" },
      {
        "chardev-add": expect.stringMatching(
          /^Failed to add chardev 'f': .*'\/dev\/fdset\/0': Permission denied/,
        ),
      },
      { "chardev-add": expect.stringMatching(/'\/dev\/fdset\/99': No such file or directory/) },
      { "remove-fd": "File descriptor named 'fdset-id:9' not found" },
      { "remove-fd": "File descriptor named 'fdset-id:0, fd:12345' not found" },
      { "remove-fd": {} },
      { quit: {} },
      { status: 0 },
      { log: "hello\nfrom within\n" },
    ]);
    expect(JSON.stringify(chardevs)).toContain('"filename":"unix:","label":"s"');
  });

  test("-daemonize: keeps passed descriptors open in the daemon", async () => {
    expect(await pass("daemon")).toEqual([
      { command: 0 },
      GREETING,
      NEGOTIATED,
      { "query-status": { status: "running", running: true } },
      { quit: {} },
      { rest: "" },
      { log: "hello\nfrom within\n" },
    ]);
  });

  const qemuMachine = process.env["NITRO_QEMU_MACHINE"] ?? "";
  test.skipIf(qemuMachine === "")(
    "QEMUMachine: QEMU's class launches, reads the console and shuts down",
    async () => {
      expect(await pass("machine", { PYTHONPATH: qemuMachine })).toEqual([
        { status: "running", running: true },
        { console: "hello\n" },
        { exit: 0 },
      ]);
    },
  );
});
