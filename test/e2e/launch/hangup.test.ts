/**
 * SIGHUP, and signals that are ignored when nitro starts. With a terminal SIGHUP stops the enclave; without one it opens
 * the log files again and never stops it.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { expectNothingLeft, launch, lines, notHere, shellWords, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** A console that outlasts every test. */
const CONSOLE = Array.from({ length: 6_000 }, (_, i) => `line ${i}`);
const TALKING: ScenarioInput = { enclave: { console: CONSOLE, consoleEveryMs: 10, heartbeatMs: 1 } };
const SILENT: ScenarioInput = { enclave: { heartbeatMs: 1 } };

let runs = 0;

/** A script that starts nitro, with `$nitro` as its process, and waits until its standard error has this text. */
class Script {
  readonly err = here.path(`err${runs++}`);
  readonly #lines: string[] = [];

  /** @param prefix a command that starts nitro: setsid, nohup. */
  constructor(prefix: string, args: readonly string[]) {
    this.add(`${prefix} ${shellWords(args)} < /dev/null > /dev/null 2> ${this.err} & nitro=$!`);
    this.until("enclave started");
  }

  add(line: string): this {
    this.#lines.push(line);
    return this;
  }

  until(text: string): this {
    return this.untilShell(`grep -qs ${shellWords([text])} ${this.err}`);
  }

  untilShell(condition: string): this {
    return this.add(`until ${condition}; do kill -0 $nitro || exit 9; sleep 0.02; done`);
  }

  /** Runs it, and stops nitro with SIGTERM. Returns the lines of its standard error after "enclave started". */
  async run(scenario: ScenarioInput): Promise<string[]> {
    this.add("kill -TERM $nitro; wait $nitro; echo status $?");
    const result = await launch(["sh", "-c", this.#lines.join("\n")], scenario);
    expect([lines(result.stdout).at(-1), result.stderr]).toEqual(["status 0", ""]);
    expectNothingLeft(result);
    return lines(readFileSync(this.err, "utf8")).filter((line) => !line.startsWith("nitro: enclave started"));
  }
}

const STOPPED = "nitro: SIGTERM: stopping the enclave";

describe.concurrent.skipIf(notHere !== undefined)("ignored signals", () => {
  test("nohup: SIGHUP, and in the background SIGINT and SIGQUIT, do not stop the enclave", async () => {
    const script = new Script("nohup", here.production());
    script.add("kill -HUP $nitro; kill -INT $nitro; kill -QUIT $nitro");
    expect(await script.run(SILENT)).toEqual([STOPPED]);
  });

  test("nohup: log files are not opened again", async () => {
    const [log] = [here.path("nohup.log")];
    const script = new Script("nohup", here.debug("-serial", `file:${log}`));
    script.add(`mv ${log} ${log}.1; kill -HUP $nitro; size=$(stat -c %s ${log}.1)`);
    script.untilShell(`[ $(stat -c %s ${log}.1) != $size ]`);
    expect(await script.run(TALKING)).toEqual([STOPPED]);
    expect(existsSync(log)).toBe(false);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("SIGHUP without a terminal", () => {
  test("SIGHUP: does not stop an enclave in production mode", async () => {
    const script = new Script("setsid", here.production());
    script.add("kill -HUP $nitro").until("SIGHUP");
    expect(await script.run(SILENT)).toEqual([
      "nitro: SIGHUP: no log file to reopen; SIGTERM stops nitro",
      STOPPED,
    ]);
  });

  test("SIGHUP: does not end a launch at any step", async () => {
    const calls = ["openat:/dev/nitro_enclaves", "listen", "NE_CREATE_VM", "fallocate", "NE_ADD_VCPU"];
    const moments = [...calls, "NE_START_ENCLAVE", "accept4:vsock"];
    const signals = moments.flatMap((call) =>
      ["enter", "exit"].map((moment) => ({ at: `${moment} ${call}`, signal: "SIGHUP" })),
    );
    const enclave = { heartbeatMs: 1, liveMs: 300 };
    const result = await launch(["setsid", "--wait", ...here.production()], { signals, enclave });
    const [last, ...rest] = lines(result.stderr).toReversed();
    expect(last).toContain("exited after");
    expect(rest.some((line) => line.includes("enclave started"))).toBe(true);
    for (const line of rest) expect(line).toMatch(/enclave started|SIGHUP: no log file to reopen/);
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  const cases: [string, (log: string) => string[]][] = [
    ["-serial file:", (log) => ["-serial", `file:${log}`]],
    ["-serial file: with a monitor", (log) => ["-serial", `file:${log}`, "-qmp", "null"]],
    ["logfile=", (log) => ["-chardev", `null,id=c,logfile=${log}`, "-serial", "chardev:c"]],
  ];
  test.each(cases)("log rotation: %s continues in a new file, and no byte is lost", async (name, args) => {
    const log = here.path(`${name.replaceAll(" ", "-")}.log`);
    const script = new Script("setsid", here.debug(...args(log)));
    script.untilShell(`[ -s ${log} ]`).add(`mv ${log} ${log}.1; kill -HUP $nitro`);
    script.until("SIGHUP: reopened").untilShell(`[ -s ${log} ]`);
    expect(await script.run(TALKING)).toEqual([`nitro: SIGHUP: reopened ${log}`, STOPPED]);
    const text = readFileSync(`${log}.1`, "utf8") + readFileSync(log, "utf8");
    expect(`${CONSOLE.join("\n")}\n`.startsWith(text)).toBe(true);
  });

  test("log rotation: a file that was not renamed keeps its content", async () => {
    const log = here.path("kept.log");
    const script = new Script("setsid", here.debug("-serial", `file:${log}`));
    script.untilShell(`[ -s ${log} ]`).add("kill -HUP $nitro").until("SIGHUP: reopened");
    await script.run(TALKING);
    expect(readFileSync(log, "utf8")).toStartWith("line 0\n");
  });

  test("log rotation: a relative path stays in the directory of the start", async () => {
    const directory = here.path("relative");
    const args = here.debug(
      "-serial",
      "file:a.log",
      "-d",
      "vsock",
      "-D",
      "b.log",
      "-pidfile",
      "pid",
      "-daemonize",
    );
    const script = [
      `mkdir ${directory}; cd ${directory}`,
      `${shellWords(args)} || exit 9; nitro=$(cat pid)`,
      "until [ -s a.log ]; do sleep 0.02; done",
      "mv a.log a.log.1; mv b.log b.log.1; kill -HUP $nitro",
      "until grep -qs SIGHUP b.log && [ -s a.log ]; do sleep 0.02; done",
      "kill $nitro; while grep -qs '^State:.[^Z]' /proc/$nitro/status; do sleep 0.02; done",
    ].join("\n");
    const result = await launch(["sh", "-c", script], TALKING);
    expect(result.status).toBe(0);
    expectNothingLeft(result);
    // The standard error of a daemon is the file of -D.
    const messages = readFileSync(`${directory}/b.log`, "utf8")
      .split("\n")
      .filter((line) => line.startsWith("nitro: "));
    expect(messages.map((line) => line.replace(/reopened .*/, "reopened"))).toEqual([
      "nitro: SIGHUP: reopened",
      STOPPED,
    ]);
  });

  const refusals: [string, string[], string, string][] = [
    ["whose directory was removed", [], "mv DIR DIR.1", "No such file or directory (ENOENT)"],
    [
      "for which no descriptor is free",
      [],
      "prlimit --pid $nitro --nofile=8:",
      "Too many open files (EMFILE)",
    ],
    ["in a sandbox", ["-sandbox", "on"], ":", "Operation not permitted (EPERM)"],
    ["outside of the root directory", ["-run-with", "chroot=DIR"], ":", "it is outside of -run-with chroot="],
    [
      "of another user",
      ["-run-with", "user=65534:65534"],
      "mv DIR/log DIR/log.1",
      "Permission denied (EACCES)",
    ],
  ];
  test.each(refusals)("log rotation: a file %s stays open", async (name, args, rotate, why) => {
    const directory = here.path(name.replaceAll(" ", "-"));
    const inDirectory = (text: string) => text.replaceAll("DIR", directory);
    const log = `${directory}/log`;
    const script = new Script(
      `mkdir ${directory}; setsid`,
      here.debug("-serial", `file:${log}`, ...args.map(inDirectory)),
    );
    script.add(`exec 9< ${log}; ${inDirectory(rotate)}; kill -HUP $nitro`).until("SIGHUP: cannot reopen");
    script
      .add("size=$(stat -L -c %s /proc/self/fd/9)")
      .untilShell("[ $(stat -L -c %s /proc/self/fd/9) != $size ]");
    expect(await script.run(TALKING)).toEqual([
      `nitro: SIGHUP: cannot reopen ${log}: ${why}; output continues in the file that is open`,
      STOPPED,
    ]);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("SIGHUP with a terminal", () => {
  /** Runs nitro as the leader of a session whose controlling terminal is closed once the enclave runs. */
  const onTerminal = (err: string, streams: string) => `
import os, pty, sys, time
child, master = pty.fork()
if child == 0:
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open("${err}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd in ${streams}:
        os.dup2(log if fd == 2 else null, fd)
    os.dup2(log, 2)
    os.execvp(sys.argv[1], sys.argv[1:])
while not os.path.exists("${err}") or "enclave started" not in open("${err}").read():
    time.sleep(0.02)
os.close(master)
print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`;

  test.each([
    ["on which it has its standard input and output", "()"],
    ["that none of its standard streams is", "(0, 1, 2)"],
  ])("closing a terminal: one %s stops the enclave", async (name, streams) => {
    const err = here.path(`terminal-${name.replaceAll(" ", "-")}`);
    const result = await launch(["python3", "-c", onTerminal(err, streams), ...here.production()], SILENT);
    expect(result.stdout).toBe("status 0\n");
    expect(lines(readFileSync(err, "utf8")).at(-1)).toBe("nitro: SIGHUP: stopping the enclave");
    expectNothingLeft(result);
  });
});
