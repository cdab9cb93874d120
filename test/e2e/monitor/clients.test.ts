/** Monitor and console clients on every kind of character device: well-behaved, broken and slow ones. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { floodPattern } from "../../emulated-parent/console.ts";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import {
  entries,
  eventually,
  expectNothingLeft,
  LIVE_MS,
  notHere,
  startLaunch,
  Workplace,
} from "../launch/nitro.ts";
import { connectSocket, MonitorClient } from "./client.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const QUIET: ScenarioInput = { enclave: { console: ["hello"], heartbeatMs: 1 } };
const QMP = "qmp.sock,server=on,wait=off";
const PROMPT = /\(qemu\) $/;

/** Starts a launch whose working directory is the workplace, so that its sockets have short paths. */
function start(
  args: readonly string[],
  scenario: ScenarioInput = QUIET,
  stdin: "ignore" | "pipe" = "ignore",
) {
  return startLaunch({ command: here.debug(...args), scenario, cwd: here.directory, stdin });
}

/** Connects to QMP and negotiates capabilities. */
async function connectQmp(name = "qmp.sock"): Promise<MonitorClient> {
  const client = await MonitorClient.connect(here.path(name));
  await client.until(/"QMP".*\r\n/);
  client.send('{"execute":"qmp_capabilities"}\n');
  await client.until(/\{"return": \{\}\}\r\n/);
  return client;
}

async function status(client: MonitorClient): Promise<string> {
  client.send('{"execute":"query-status"}\n');
  return await client.until(/"return".*\r\n/);
}

const RUNNING = '"return": {"status": "running", "running": true}}\r\n';

async function end(parent: ParentProcess) {
  const result = await parent.finished();
  expectNothingLeft(result);
  return result;
}

describe.skipIf(notHere !== undefined)("monitor clients", () => {
  test("monitor clients: can connect one after another and at once; sockets have mode 0600 and are removed at exit", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-qmp-pretty", "unix:two.sock,server=on,wait=off"]);
    const first = await connectQmp();
    expect(statSync(here.path("qmp.sock")).mode & 0o777).toBe(0o600);
    const pretty = await MonitorClient.connect(here.path("two.sock"));
    expect(await pretty.until(/\n\}\r\n/)).toStartWith('{\n    "QMP": {\n        "version": {\n');
    expect(await status(first)).toEndWith(RUNNING);
    first.close();
    const second = await connectQmp();
    expect(await status(second)).toEndWith(RUNNING);
    second.send('{"execute":"quit","id":"bye"}\n');
    const last = await second.until(/"bye"\}\r\n/);
    expect(last).toContain('"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}');
    expect((await end(parent)).status).toBe(0);
    expect(() => statSync(here.path("qmp.sock"))).toThrow();
  });

  test("monitor clients: receive events for a panic, a power-off with -no-shutdown, and a signal", async () => {
    // With -S, the enclave starts after the client has connected and misses no event.
    const crash = { enclave: { console: ["Kernel panic - not syncing: oops"], heartbeatMs: 1, liveMs: 300 } };
    const parent = start(["-qmp", `unix:${QMP}`, "-S"], crash);
    const client = await connectQmp();
    client.send('{"execute":"cont"}\n');
    const events = (text: string) =>
      [...text.matchAll(/"event": ("\w+".*)\}\r\n/g)].map(([, event]) => event);
    expect(events(await client.until(/SHUTDOWN.*\r\n/))).toEqual([
      '"RESUME"',
      '"GUEST_PANICKED", "data": {"action": "poweroff"}',
      '"STOP"',
      '"SHUTDOWN", "data": {"guest": true, "reason": "guest-panic"}',
    ]);
    expect((await end(parent)).status).toBe(4);
    const staying = start(["-qmp", `unix:${QMP}`, "-S", "-no-shutdown"], {
      enclave: { console: ["hello", "reboot: Power down"], heartbeatMs: 1, liveMs: 300 },
    });
    const third = await connectQmp();
    expect(await status(third)).toContain('{"status": "prelaunch", "running": false}');
    third.send('{"execute":"cont"}\n');
    expect(events(await third.until(/"STOP"\}\r\n/))).toEqual([
      '"RESUME"',
      '"SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}',
      '"STOP"',
    ]);
    expect(await status(third)).toContain('{"status": "shutdown", "running": false}');
    third.send('{"execute":"quit"}\n');
    expect((await end(staying)).status).toBe(0);
    const other = start(["-qmp", `unix:${QMP}`]);
    const second = await connectQmp();
    other.kill("SIGTERM");
    expect(await second.until(/SHUTDOWN.*\r\n/)).toContain('{"guest": false, "reason": "host-signal"}');
    expect((await end(other)).status).toBe(0);
  });

  test("monitor clients: garbage, half a line, megabytes without a newline or a disconnect do not affect others", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-monitor", "unix:hmp.sock,server=on,wait=off"]);
    const pid = () => parent.commandPid() ?? 0;
    const good = await connectQmp();
    const before = residentKiB(pid());
    for (const text of [
      "\xff\0garbage }]\n",
      '{"execute": "query',
      '{"execute":"qmp_capabilities"',
      "(".repeat(99),
    ]) {
      const bad = await MonitorClient.connect(here.path("hmp.sock"));
      bad.send(text);
      bad.close();
    }
    for (const socket of ["hmp.sock", "qmp.sock"]) {
      if (socket === "qmp.sock") good.close();
      await flood(here.path(socket), "x", 4 * 1024 * 1024);
      await flood(here.path(socket), '["', 4 * 1024 * 1024);
    }
    const again = await connectQmp();
    expect(await status(again)).toEndWith(RUNNING);
    expect(residentKiB(pid()) - before).toBeLessThan(96 * 1024);
    again.send('{"execute":"quit"}');
    await end(parent);
  });

  test("monitor clients: those that do not read are throttled, and others are still answered", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-qmp", "unix:stalled.sock,server=on,wait=off"]);
    const client = await connectQmp();
    const stalled = createConnection(here.path("stalled.sock"));
    await new Promise((resolve) => stalled.once("connect", resolve));
    stalled.pause();
    stalled.write('{"execute":"qmp_capabilities"}\n');
    stalled.write('{"execute":"query-qmp-schema"}\n'.repeat(20_000));
    for (let i = 0; i < 50; i++) expect(await status(client)).toEndWith(RUNNING);
    stalled.destroy();
    client.send('{"execute":"quit"}');
    await end(parent);
  });

  test("console client: one that does not read times out; the log file is complete", async () => {
    const bytes = 8 * 1024 * 1024;
    const args = [
      "-chardev",
      "socket,id=c,path=con.sock,server=on,wait=on,logfile=log",
      "-serial",
      "chardev:c",
    ];
    const parent = start(args, { enclave: { heartbeatMs: 1, consoleFloodBytes: bytes, liveMs: 2500 } });
    const socket = (await connectSocket(here.path("con.sock"))).pause();
    const result = await end(parent);
    expect(result.stderr).toContain("the client does not read; output is dropped until it does");
    expect(Buffer.from(readFileSync(here.path("log"))).equals(Buffer.from(floodPattern(0, bytes)))).toBe(
      true,
    );
    socket.destroy();
  });

  test("console: output at full speed is complete while a client sends queries, and memory does not grow", async () => {
    const bytes = 192 * 1024 * 1024;
    const parent = start(["-qmp", `unix:${QMP}`, "-serial", "file:flood"], {
      enclave: { heartbeatMs: 1, consoleFloodBytes: bytes },
    });
    const client = await connectQmp();
    const pid = parent.commandPid() ?? 0;
    const sizes: number[] = [];
    // The benchmark measures the response time.
    for (let queries = 0; statSync(here.path("flood")).size < bytes; queries++) {
      expect(await status(client)).toEndWith(RUNNING);
      if (queries > 5) sizes.push(residentKiB(pid));
      await Bun.sleep(1);
    }
    client.send('{"execute":"quit"}');
    const result = await end(parent);
    expect(result.report.consoles).toEqual([{ cid: 16, produced: bytes, delivered: bytes }]);
    expect(Buffer.compare(readFileSync(here.path("flood")), floodPattern(0, bytes))).toBe(0);
    expect(Math.max(0, ...sizes) - Math.min(...sizes, Number.MAX_SAFE_INTEGER)).toBeLessThan(16 * 1024);
  });
});

function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Writes the text repeatedly, `bytes` bytes in total, and discards the answers. */
async function flood(path: string, text: string, bytes: number): Promise<void> {
  const socket = createConnection(path);
  socket.on("error", () => {});
  socket.on("data", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  const chunk = text.repeat(Math.ceil(65_536 / text.length));
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += chunk.length) {
    if (!socket.write(chunk)) {
      await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), Bun.sleep(2000)]);
    }
  }
  socket.destroy();
}

describe.skipIf(notHere !== undefined)("third-party clients", () => {
  test("socat: works with HMP and QMP", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-monitor", "unix:hmp.sock,server=on,wait=off"]);
    (await connectQmp()).close();
    const hmp = Bun.spawnSync(["socat", "-t2", "-", `UNIX-CONNECT:${here.path("hmp.sock")}`], {
      stdin: Buffer.from("info status\n"),
    });
    expect(hmp.stdout.toString()).toContain("VM status: running\r\n(qemu) ");
    const lines = '{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n{"execute":"quit"}\n';
    const control = Bun.spawnSync(["socat", "-t2", "-", `UNIX-CONNECT:${here.path("qmp.sock")}`], {
      stdin: Buffer.from(lines),
    });
    expect(control.stdout.toString()).toContain(RUNNING);
    expect((await end(parent)).status).toBe(0);
  });

  const qemuQmp = process.env["NITRO_QMP_CLIENT"] ?? "";
  test.skipIf(qemuQmp === "")(
    "python3-qemu-qmp: connects, executes commands and receives events",
    async () => {
      const script = `
import asyncio, sys
from qemu.qmp import QMPClient, ExecuteError
async def main():
    qmp = QMPClient("test")
    await qmp.connect(sys.argv[1])
    print(await qmp.execute("query-status"))
    print(await qmp.execute("qom-get", {"path": "/machine/peripheral/nitro-vsock", "property": "enclave-cid"}))
    try:
        await qmp.execute("nosuch")
    except ExecuteError as error:
        print(error.error_class)
    with qmp.listener("SHUTDOWN") as listener:
        await qmp.execute("quit")
        print((await listener.get())["data"]["reason"])
    await qmp.disconnect()
asyncio.run(main())
`;
      const parent = start(["-qmp", `unix:${QMP}`]);
      (await connectQmp()).close();
      const python = Bun.spawnSync(["python3", "-c", script, here.path("qmp.sock")], {
        env: { ...process.env, PYTHONPATH: qemuQmp },
      });
      expect(python.stderr.toString()).not.toContain("ImportError");
      expect(python.stdout.toString()).toBe(
        "{'status': 'running', 'running': True}\n16\nCommandNotFound\nhost-qmp-quit\n",
      );
      expect((await end(parent)).status).toBe(0);
    },
  );
});

describe.skipIf(notHere !== undefined)("character device backends", () => {
  test("telnet over TCP: negotiates options and removes commands from the input", async () => {
    const args = ["-qmp", `unix:${QMP}`, "-monitor", "telnet:127.0.0.1:0,server=on,wait=off"];
    const parent = start(args, { ...QUIET, network: "machine" });
    const client = await connectQmp();
    client.send('{"execute":"query-chardev"}\n');
    const port = Number(
      /telnet:127\.0\.0\.1:(\d+),server=on/.exec(await client.until(/"return".*\r\n/))?.[1],
    );
    const socket = createConnection(port, "127.0.0.1").setEncoding("latin1");
    let got = "";
    socket.on("data", (text) => {
      got += String(text);
    });
    await eventually("the prompt", () => PROMPT.test(got));
    expect(got).toStartWith("\xff\xfb\x01");
    socket.write(Buffer.from("\xff\xfd\x03info na\xff\xfa\x18\x00\xff\xf0me\r\x00", "latin1"));
    await eventually("the answer", () => /info name.*\(qemu\) $/s.test(got));
    socket.destroy();
    client.send('{"execute":"quit"}');
    await end(parent);
  });

  test.each([
    ["tcp::0", ["127.0.0.1", "::1"]],
    ["tcp:0:0", ["127.0.0.1"]],
    ["tcp:[::1]:0", ["::1"]],
  ])("%s: accepts clients at %p", async (target, hosts) => {
    const args = ["-qmp", `unix:${QMP}`, "-monitor", `${target},server=on,wait=off`];
    const parent = start(args, { ...QUIET, network: "machine" });
    const client = await connectQmp();
    client.send('{"execute":"query-chardev"}\n');
    const port = Number(/tcp:\S*:(\d+),server=on/.exec(await client.until(/"return".*\r\n/))?.[1]);
    for (const host of hosts) {
      const socket = createConnection(port, host).setEncoding("latin1");
      let got = "";
      socket.on("data", (text) => {
        got += String(text);
      });
      await eventually("the prompt", () => PROMPT.test(got));
      socket.destroy();
    }
    client.send('{"execute":"quit"}');
    await end(parent);
  });

  test("logtimestamp=on: each line of the log begins with the time", async () => {
    const log = ["-chardev", "null,id=n,logfile=stamped,logtimestamp=on", "-serial", "chardev:n"];
    const enclave = { console: ["one", "two"], heartbeatMs: 1, liveMs: LIVE_MS };
    await end(start(log, { enclave }));
    const stamp = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `;
    expect(here.text("stamped")).toMatch(new RegExp(`^${stamp}one\n${stamp}two\n$`));
  });

  test("pty: its path is reported, and a monitor answers on it", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-monitor", "pty"]);
    const client = await connectQmp();
    client.send('{"execute":"query-chardev"}\n');
    const path = /"pty:(\/dev\/pts\/\d+)"/.exec(await client.until(/"return".*\r\n/))?.[1] ?? "";
    const answer = Bun.spawnSync(["socat", "-t1", "-", `${path},raw,echo=0`], {
      stdin: Buffer.from("info status\n"),
    });
    expect(answer.stdout.toString()).toContain("VM status: running");
    client.send('{"execute":"quit"}');
    expect((await end(parent)).stderr).toContain(
      `nitro: char device redirected to ${path} (label compat_monitor1)`,
    );
  });

  test("pipe and ring buffer: serve as monitor and as console with logappend=on", async () => {
    Bun.spawnSync(["mkfifo", here.path("fifo.in"), here.path("fifo.out")]);
    here.file("kept", "before\n");
    const ring = ["-chardev", "ringbuf,id=r,size=1024,logfile=kept,logappend=on", "-serial", "chardev:r"];
    const parent = start([...ring, "-qmp", `unix:${QMP}`, "-monitor", "pipe:fifo"]);
    const client = await connectQmp();
    await eventually("console output", () => here.text("kept").includes("hello"));
    client.send('{"execute":"ringbuf-read","arguments":{"device":"r","size":100}}\n');
    expect(await client.until(/"return".*\r\n/)).toContain('{"return": "hello\\n"}');
    expect(here.text("kept")).toBe("before\nhello\n");
    const shell = `timeout 5 head -c 60 ${here.path("fifo.out")} & sleep 0.2; echo quit > ${here.path("fifo.in")}; wait`;
    const answer = Bun.spawnSync(["sh", "-c", shell]);
    expect(answer.stdout.toString()).toContain("monitor - type 'help'");
    expect((await end(parent)).status).toBe(0);
  });

  test("wait=on: waits for a client before the enclave is created; a signal ends the wait", async () => {
    const parent = start(["-serial", "unix:con.sock,server=on"]);
    const client = await MonitorClient.connect(here.path("con.sock"));
    expect(await client.until(/hello\n/)).toContain("hello");
    client.close();
    parent.kill("SIGTERM");
    expect((await end(parent)).stderr).toContain(
      "waiting for connection on: disconnected:unix:con.sock,server=on",
    );
    const other = start(["-serial", "unix:con.sock,server=on"]);
    await eventually("the socket", () => statIfExists(here.path("con.sock")));
    await Bun.sleep(200);
    other.kill("SIGTERM");
    const result = await end(other);
    expect([result.status, entries(result, "NE_CREATE_VM")]).toEqual([0, []]);
  });

  test("socket client: a refused connection fails the launch; reconnect-ms=N tries again", async () => {
    const failed = await start(["-serial", "unix:missing.sock"]).finished();
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringContaining("Failed to connect")]);
    const parent = start(["-qmp", `unix:${QMP}`, "-chardev", "socket,id=c,path=late.sock,reconnect-ms=50"]);
    const client = await connectQmp();
    const server = Bun.spawn(["socat", "-u", `UNIX-LISTEN:${here.path("late.sock")}`, "-"], {
      stdout: "ignore",
    });
    await eventually("the connection", async () => {
      client.send('{"execute":"query-chardev"}\n');
      return (await client.until(/"return".*\r\n/)).includes('"unix:late.sock"') ? true : undefined;
    });
    client.send('{"execute":"quit"}');
    await end(parent);
    server.kill();
  });

  test("stdio: end of file on standard input does not end the launch", async () => {
    const parent = start(["-nographic", "-qmp", `unix:${QMP}`]);
    const client = await connectQmp();
    await Bun.sleep(300);
    expect(await status(client)).toEndWith(RUNNING);
    client.send('{"execute":"quit"}');
    expect((await end(parent)).stdout).toBe("hello\n");
  });
});

function statIfExists(path: string) {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
