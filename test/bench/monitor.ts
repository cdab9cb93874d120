/**
 * 1 GB of console output into a file while a QMP client sends queries: the console's throughput, the latency of the
 * answers, the launcher's own memory. Then an idle launcher with a monitor of every kind. QEMU is measured the same way.
 */
import { closeSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fakeInitrd, fakeKernel } from "../e2e/launch/images.ts";
import { MonitorClient } from "../e2e/monitor/client.ts";
import { floodPattern } from "../emulated-parent/console.ts";
import { type ParentProcess, startInParent } from "../emulated-parent/run.ts";
import type { ScenarioInput } from "../emulated-parent/scenario.ts";
import { ROOT } from "../support/packages.ts";
import { printActivity } from "./activity.ts";
import { median } from "./statistics.ts";

/** The environment of the measurement. */
export interface Bench {
  readonly directory: string;
  /** The command of a QEMU with -accel nitro, if this machine has one. */
  readonly qemu: readonly string[] | undefined;
  readonly scenario: ScenarioInput;
  /** Bytes that the console writes. */
  readonly bytes: number;
}

const NITRO = [join(ROOT, "dist/nitro")];
const SILENCE_MS = 30_000;

/** Measures and prints the figures. */
export async function monitors(bench: Bench): Promise<void> {
  writeFileSync(join(bench.directory, "k"), fakeKernel());
  writeFileSync(join(bench.directory, "i"), fakeInitrd());
  console.log(
    `\nConsole into a file, ${bench.bytes / 1e6} MB, with a QMP client that sends a query every 5 ms`,
  );
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

/** Returns the anonymous memory of a process in KiB: without mapped files and shared memory. */
function ownKib(pid: number): number {
  return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

async function flood(bench: Bench, command: readonly string[]): Promise<string> {
  const { directory, bytes } = bench;
  const file = join(directory, "flood");
  rmSync(file, { force: true });
  const args = ["-serial", "file:flood", "-qmp", "unix:flood.sock,server=on,wait=off", "-monitor", "none"];
  const parent = start(bench, [...command, ...args], { consoleFloodBytes: bytes });
  const client = await MonitorClient.connect(join(directory, "flood.sock"));
  await client.until(/"QMP".*\r\n/);
  client.send('{"execute":"qmp_capabilities"}\n');
  await client.until(/\{"return": \{\}\}\r\n/);
  const pid = parent.commandPid() ?? 0;
  const answers: number[] = [];
  const memory: number[] = [];
  let [size, changed] = [0, performance.now()];
  while (size < bytes && performance.now() - changed < SILENCE_MS) {
    const from = performance.now();
    client.send('{"execute":"query-status"}\n');
    await client.until(/"return": .*\r\n/);
    answers.push(performance.now() - from);
    memory.push(ownKib(pid));
    const now = statSync(file).size;
    if (now !== size) [size, changed] = [now, performance.now()];
    await Bun.sleep(5);
  }
  client.send('{"execute":"quit"}\n');
  const { trace } = await parent.finished();
  client.close();
  const connected = trace.find(({ what }) => what === "console connect")?.t ?? Number.NaN;
  const delivered = trace.findLast(({ what }) => what.startsWith("console "))?.t ?? Number.NaN;
  // The trace may end up to one query later than the last byte.
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

/** Compares the file with the bytes that were sent. */
function lossOf(file: string, bytes: number): string {
  const chunk = 16 * 2 ** 20;
  const fd = openSync(file, "r");
  try {
    const got = Buffer.alloc(chunk);
    for (let at = 0; at < bytes; at += chunk) {
      const length = readSync(fd, got, 0, Math.min(chunk, bytes - at), at);
      const expected = floodPattern(at, Math.min(chunk, bytes - at));
      if (Buffer.compare(got.subarray(0, length), expected) !== 0) return `BYTES LOST from offset ${at} on`;
    }
    return "nothing lost";
  } finally {
    closeSync(fd);
    rmSync(file);
  }
}

/** Measures a launcher with a monitor of every kind, clients on some of them, and a silent enclave. */
async function idle(bench: Bench): Promise<void> {
  const args = ["-qmp", "unix:idle.sock,server=on,wait=off", "-qmp", "unix:unused.sock,server=on,wait=off"];
  const more = ["-monitor", "pty", "-monitor", "telnet:127.0.0.1:0,server=on,wait=off", "-serial", "pty"];
  const ring = [
    "-chardev",
    "ringbuf,id=r",
    "-chardev",
    "socket,id=c,path=unused-chardev.sock,server=on,wait=off",
  ];
  const parent = start(bench, [...NITRO, ...args, ...more, ...ring], { console: ["up"] });
  const client = await MonitorClient.connect(join(bench.directory, "idle.sock"));
  await client.until(/"QMP".*\r\n/);
  const pid = parent.commandPid();
  if (pid === undefined) throw new Error("bench: the launcher has exited");
  await Bun.sleep(18_000);
  console.log("\nIdle with two ptys, four listening sockets and a QMP client, 10 s");
  await printActivity(pid, "from 18 s after the start");
  client.send('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  await parent.finished();
  client.close();
}
