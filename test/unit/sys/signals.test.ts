import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../..");

/**
 * Runs a script in a new process, because handlers remain until the process ends. @param before a command of the shell
 * that starts it; every signal has its default action until then.
 */
function inChild(body: string, before = ":") {
  const script = `
    import { catchSignals } from "./src/sys/signals.ts";
    import { openSystem } from "./src/sys/system.ts";
    const system = openSystem();
    const signals = catchSignals(system);
    // Any thread may run the handler, a moment later.
    const raise = (name) => {
      process.kill(process.pid, name);
      Bun.sleepSync(20);
    };
    ${body}
  `;
  const command = [
    "env",
    "--default-signal",
    "sh",
    "-c",
    `${before}; exec "$@"`,
    "sh",
    process.execPath,
    "-e",
    script,
  ];
  const child = Bun.spawnSync(command, { cwd: ROOT });
  return { out: child.stdout.toString(), err: child.stderr.toString(), code: child.exitCode };
}

describe("signals", () => {
  test("signals: next returns each stop signal once, by name", () => {
    const { out, code } = inChild(`
      console.log(signals.next());
      for (const name of ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"]) { raise(name); console.log(signals.next()); }
      raise("SIGTERM");
      raise("SIGTERM");
      console.log(signals.next(), signals.next(), signals.next());
    `);
    expect(out).toBe("undefined\nSIGTERM\nSIGHUP\nSIGINT\nSIGQUIT\nSIGTERM SIGTERM undefined\n");
    expect(code).toBe(0);
  });

  test("signals: with onHangup, next calls it for SIGHUP and returns the next stop signal", () => {
    const { out } = inChild(`
      signals.onHangup(() => console.log("hung up"));
      raise("SIGHUP");
      console.log(signals.next());
      raise("SIGHUP");
      raise("SIGTERM");
      console.log(signals.next());
    `);
    expect(out).toBe("hung up\nundefined\nhung up\nSIGTERM\n");
  });

  test.each(["HUP", "INT", "QUIT"])(
    "signals: SIG%s stays ignored if it was at the start; others do not",
    (name) => {
      const { out } = inChild(
        `
      const all = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"];
      for (const each of all) { raise(each); console.log(each, signals.next()); }
    `,
        `trap '' ${name}`,
      );
      const expected = ["HUP", "INT", "QUIT", "TERM"].map(
        (each) => `SIG${each} ${each === name ? undefined : `SIG${each}`}`,
      );
      expect(out.trimEnd().split("\n")).toEqual(expected);
    },
  );

  test("signals: SIGTERM stops the launcher even if it was ignored at the start", () => {
    const { out } = inChild(`raise("SIGTERM"); console.log(signals.next());`, "trap '' TERM");
    expect(out).toBe("SIGTERM\n");
  });

  test("signals: SIGCONT calls the function of onContinue and is no stop signal", () => {
    const { out } = inChild(`
      raise("SIGCONT");
      console.log(signals.next());
      signals.onContinue(() => console.log("continued"));
      raise("SIGCONT");
      console.log(signals.next());
      raise("SIGCONT");
      raise("SIGTERM");
      console.log(signals.next());
    `);
    expect(out).toBe("undefined\ncontinued\nundefined\ncontinued\nSIGTERM\n");
  });

  test("signals: a write to a pipe without a reader is EPIPE, not SIGPIPE", () => {
    const { out, code } = inChild(`
      import { writeSome } from "./src/sys/files.ts";
      import { addressOf } from "./src/sys/libc.ts";
      import { openSync, closeSync, unlinkSync } from "node:fs";
      const fifo = "/tmp/nitro-signals-" + process.pid;
      Bun.spawnSync(["mkfifo", fifo]);
      const reader = openSync(fifo, 0o4000);
      const writer = openSync(fifo, 0o4001);
      unlinkSync(fifo);
      closeSync(reader);
      const byte = new Uint8Array(1);
      console.log(writeSome(system, writer, addressOf(byte), 1));
    `);
    expect(out).toBe("-32\n");
    expect(code).toBe(0);
  });

  test("signals: a signal wakes the run loop", () => {
    const { out } = inChild(`
      import { nowMs, runLoop } from "./src/sys/poll.ts";
      const start = nowMs();
      Bun.spawn(["sh", "-c", "sleep 0.05; kill -TERM " + process.pid]);
      let got;
      const waiter = { fd: signals.fd, events: 1, deadlineMs: start + 5000,
        ready() { got = signals.next(); }, expired() { got = "nothing"; } };
      runLoop(system, () => [waiter], () => got !== undefined);
      console.log(got, nowMs() - start < 4000);
    `);
    expect(out).toBe("SIGTERM true\n");
  });
});
