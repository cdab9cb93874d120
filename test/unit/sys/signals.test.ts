import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../..");

/** Runs a script in a process of its own: a handler stays for good. */
function inChild(body: string) {
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
  const child = Bun.spawnSync([process.execPath, "-e", script], { cwd: ROOT });
  return { out: child.stdout.toString(), err: child.stderr.toString(), code: child.exitCode };
}

describe("signals", () => {
  test("that ask for the end are told by name, each once", () => {
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

  test("one that lets a process go on is told to whoever asked for it, and asks for no end", () => {
    const { out } = inChild(`
      raise("SIGCONT");
      console.log(signals.next());
      signals.onContinue(() => console.log("goes on"));
      raise("SIGCONT");
      console.log(signals.next());
      raise("SIGCONT");
      raise("SIGTERM");
      console.log(signals.next());
    `);
    expect(out).toBe("undefined\ngoes on\nundefined\ngoes on\nSIGTERM\n");
  });

  test("a pipe that nobody reads is an errno, not the end", () => {
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

  test("a signal wakes the loop at once", () => {
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
