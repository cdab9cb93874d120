/**
 * A gigabyte of console into a file, and a QMP client that asks all the while: how fast the console runs, how soon the
 * client is answered, what the launcher's own memory does. Then a launcher with a monitor of every kind, and nothing to
 * do. A QEMU with -accel nitro is measured in the same way.
 */
import { closeSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fakeInitrd, fakeKernel } from "../e2e/launch/images.ts";
import { Talk } from "../e2e/monitor/exchanges.ts";
import { floodPattern } from "../emulated-parent/console.ts";
import { type ParentProcess, startInParent } from "../emulated-parent/run.ts";
import type { ScenarioInput } from "../emulated-parent/scenario.ts";
import { ROOT } from "../support/packages.ts";
import { median } from "./figures.ts";
import { restless } from "./restless.ts";

/** What the measurement works with. */
export interface Bench {
  readonly directory: string;
  /** The command of a QEMU, where there is one. */
  readonly qemu: readonly string[] | undefined;
  readonly scenario: ScenarioInput;
  /** How much the console writes. */
  readonly bytes: number;
}

const NITRO = [join(ROOT, "dist/nitro")];
const SILENCE_MS = 30_000;

/** Measures, and prints what came of it. */
export async function monitors(bench: Bench): Promise<void> {
  writeFileSync(join(bench.directory, "k"), fakeKernel());
  writeFileSync(join(bench.directory, "i"), fakeInitrd());
  console.log(`\nConsole into a file, ${bench.bytes / 1e6} MB, and a QMP client that asks every 5 ms`);
  console.log(`  nitro ${await flood(bench, NITRO)}`);
  if (bench.qemu !== undefined) console.log(`  QEMU ${await flood(bench, bench.qemu)}`);
  await idle(bench);
}

const IMAGE = ["-kernel", "k", "-initrd", "i", "-append", "console=ttyS0", "-m", "64M", "-smp", "2"];
const MACHINE = ["-accel", "nitro,debug-mode=on", "-M", "nitro", "-display", "none"];

function start(bench: Bench, command: readonly string[], enclave: ScenarioInput["enclave"]): ParentProcess {
  return startInParent({
    command: [...command, ...MACHINE, ...IMAGE],
    cwd: bench.directory,
    scenario: { ...bench.scenario, enclave: { heartbeatMs: 1, ...enclave } },
    limitSeconds: 120,
  });
}

/** Memory of the process's own, in KiB: files that it has mapped, and what it shares, are not in it. */
function ownKib(pid: number): number {
  return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

async function flood(bench: Bench, command: readonly string[]): Promise<string> {
  const { directory, bytes } = bench;
  const file = join(directory, "flood");
  rmSync(file, { force: true });
  const words = ["-serial", "file:flood", "-qmp", "unix:flood.sock,server=on,wait=off", "-monitor", "none"];
  const parent = start(bench, [...command, ...words], { consoleFloodBytes: bytes });
  const talk = await Talk.to(join(directory, "flood.sock"));
  await talk.until(/"QMP".*\r\n/);
  talk.send('{"execute":"qmp_capabilities"}\n');
  await talk.until(/\{"return": \{\}\}\r\n/);
  const pid = parent.commandPid() ?? 0;
  const answers: number[] = [];
  const memory: number[] = [];
  let [size, changed] = [0, performance.now()];
  while (size < bytes && performance.now() - changed < SILENCE_MS) {
    const from = performance.now();
    talk.send('{"execute":"query-status"}\n');
    await talk.until(/"return": .*\r\n/);
    answers.push(performance.now() - from);
    memory.push(ownKib(pid));
    const now = statSync(file).size;
    if (now !== size) [size, changed] = [now, performance.now()];
    await Bun.sleep(5);
  }
  talk.send('{"execute":"quit"}\n');
  const { trace } = await parent.finished();
  talk.close();
  const connected = trace.find(({ what }) => what === "console connect")?.t ?? Number.NaN;
  const delivered = trace.findLast(({ what }) => what.startsWith("console "))?.t ?? Number.NaN;
  // The end of the trace is up to one question later than the last byte.
  const rate = bytes / 1e3 / (delivered - connected);
  const mib = (kib: number | undefined) => ((kib ?? Number.NaN) / 1024).toFixed(1);
  const late = answers.filter((ms) => ms > 50).length;
  return (
    `${rate.toFixed(0)} MB/s, ${lossOf(file, bytes)}; ${answers.length} answers: median ` +
    `${median(answers).toFixed(2)} ms, worst ${Math.max(...answers).toFixed(1)} ms, ${late} of more than 50 ms; ` +
    `RssAnon ${mib(memory[0])} MiB at the first answer, ${mib(Math.max(...memory))} at the most, ` +
    `${mib(memory.at(-1))} at the last`
  );
}

/** Compares the file with what was sent. */
function lossOf(file: string, bytes: number): string {
  const piece = 16 * 2 ** 20;
  const fd = openSync(file, "r");
  try {
    const got = Buffer.alloc(piece);
    for (let at = 0; at < bytes; at += piece) {
      const length = readSync(fd, got, 0, Math.min(piece, bytes - at), at);
      const expected = floodPattern(at, Math.min(piece, bytes - at));
      if (Buffer.compare(got.subarray(0, length), expected) !== 0) return `LOST SOMETHING from byte ${at} on`;
    }
    return "nothing lost";
  } finally {
    closeSync(fd);
    rmSync(file);
  }
}

/** A monitor of every kind, clients on some of them, and an enclave that says nothing. */
async function idle(bench: Bench): Promise<void> {
  const words = ["-qmp", "unix:idle.sock,server=on,wait=off", "-qmp", "unix:unused.sock,server=on,wait=off"];
  const more = ["-monitor", "pty", "-monitor", "telnet:127.0.0.1:0,server=on,wait=off", "-serial", "pty"];
  const ring = ["-chardev", "ringbuf,id=r", "-chardev", "socket,id=c,path=nobody.sock,server=on,wait=off"];
  const parent = start(bench, [...NITRO, ...words, ...more, ...ring], { console: ["up"] });
  const talk = await Talk.to(join(bench.directory, "idle.sock"));
  await talk.until(/"QMP".*\r\n/);
  const pid = parent.commandPid();
  if (pid === undefined) throw new Error("bench: the launcher is not there");
  await Bun.sleep(18_000);
  console.log("\nIdle with two ptys, four listening sockets and a QMP client, 10 s");
  await restless(pid, "from 18 s after the start");
  talk.send('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  await parent.finished();
  talk.close();
}
