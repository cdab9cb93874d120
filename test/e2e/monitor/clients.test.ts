/** Clients of every kind on every kind of character device: well-behaved ones, strangers, and a flood beside them. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { floodPattern } from "../../emulated-parent/console.ts";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { entries, eventually, expectNothingLeft, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { connectionTo, Talk } from "./exchanges.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const QUIET: ScenarioInput = { enclave: { console: ["hello"], heartbeatMs: 1 } };
const QMP = "qmp.sock,server=on,wait=off";
const PROMPT = /\(qemu\) $/;

/** Starts a launch in the workplace; its sockets have short names there. */
function start(
  words: readonly string[],
  scenario: ScenarioInput = QUIET,
  stdin: "ignore" | "pipe" = "ignore",
) {
  return startLaunch({ command: here.debug(...words), scenario, cwd: here.directory, stdin });
}

/** A QMP client that has negotiated. */
async function qmp(name = "qmp.sock"): Promise<Talk> {
  const talk = await Talk.to(here.path(name));
  await talk.until(/"QMP".*\r\n/);
  talk.send('{"execute":"qmp_capabilities"}\n');
  await talk.until(/\{"return": \{\}\}\r\n/);
  return talk;
}

async function status(talk: Talk): Promise<string> {
  talk.send('{"execute":"query-status"}\n');
  return await talk.until(/"return".*\r\n/);
}

const RUNNING = '"return": {"status": "running", "running": true}}\r\n';

async function end(parent: ParentProcess) {
  const result = await parent.finished();
  expectNothingLeft(result);
  return result;
}

describe.skipIf(notHere !== undefined)("clients", () => {
  test("several after one another and at once; sockets are for the owner alone and are gone at the end", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-qmp-pretty", "unix:two.sock,server=on,wait=off"]);
    const first = await qmp();
    expect(statSync(here.path("qmp.sock")).mode & 0o777).toBe(0o600);
    const pretty = await Talk.to(here.path("two.sock"));
    expect(await pretty.until(/\n\}\r\n/)).toStartWith('{\n    "QMP": {\n        "version": {\n');
    expect(await status(first)).toEndWith(RUNNING);
    first.close();
    const second = await qmp();
    expect(await status(second)).toEndWith(RUNNING);
    second.send('{"execute":"quit","id":"bye"}\n');
    const last = await second.until(/"bye"\}\r\n/);
    expect(last).toContain('"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}');
    expect((await end(parent)).status).toBe(0);
    expect(() => statSync(here.path("qmp.sock"))).toThrow();
  });

  test("are told how the enclave ends, and that a signal ends it", async () => {
    // The enclave is started when the client is there to hear of its end.
    const crash = { enclave: { console: ["Kernel panic - not syncing: oops"], heartbeatMs: 1, liveMs: 300 } };
    const parent = start(["-qmp", `unix:${QMP}`, "-S"], crash);
    const talk = await qmp();
    talk.send('{"execute":"cont"}\n');
    const events = (text: string) =>
      [...text.matchAll(/"event": ("\w+".*)\}\r\n/g)].map(([, event]) => event);
    expect(events(await talk.until(/SHUTDOWN.*\r\n/))).toEqual([
      '"RESUME"',
      '"GUEST_PANICKED", "data": {"action": "poweroff"}',
      '"STOP"',
      '"SHUTDOWN", "data": {"guest": true, "reason": "guest-panic"}',
    ]);
    expect((await end(parent)).status).toBe(4);
    const staying = start(["-qmp", `unix:${QMP}`, "-S", "-no-shutdown"], {
      enclave: { console: ["hello", "reboot: Power down"], heartbeatMs: 1, liveMs: 300 },
    });
    const third = await qmp();
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
    const second = await qmp();
    other.kill("SIGTERM");
    expect(await second.until(/SHUTDOWN.*\r\n/)).toContain('{"guest": false, "reason": "host-signal"}');
    expect((await end(other)).status).toBe(0);
  });

  test("that send garbage, half a line, megabytes without a newline, or go away, harm nobody", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-monitor", "unix:hmp.sock,server=on,wait=off"]);
    const pid = () => parent.commandPid() ?? 0;
    const good = await qmp();
    const before = residentKiB(pid());
    for (const text of [
      "\xff\0garbage }]\n",
      '{"execute": "query',
      '{"execute":"qmp_capabilities"',
      "(".repeat(99),
    ]) {
      const bad = await Talk.to(here.path("hmp.sock"));
      bad.send(text);
      bad.close();
    }
    for (const socket of ["hmp.sock", "qmp.sock"]) {
      if (socket === "qmp.sock") good.close();
      await pour(here.path(socket), "x", 4 * 1024 * 1024);
      await pour(here.path(socket), '["', 4 * 1024 * 1024);
    }
    const again = await qmp();
    expect(await status(again)).toEndWith(RUNNING);
    expect(residentKiB(pid()) - before).toBeLessThan(96 * 1024);
    again.send('{"execute":"quit"}');
    await end(parent);
  });

  test("that read nothing are asked nothing more, and others are answered", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-qmp", "unix:deaf.sock,server=on,wait=off"]);
    const talk = await qmp();
    const deaf = createConnection(here.path("deaf.sock"));
    await new Promise((resolve) => deaf.once("connect", resolve));
    deaf.pause();
    deaf.write('{"execute":"qmp_capabilities"}\n');
    deaf.write('{"execute":"query-qmp-schema"}\n'.repeat(20_000));
    for (let i = 0; i < 50; i++) expect(await status(talk)).toEndWith(RUNNING);
    deaf.destroy();
    talk.send('{"execute":"quit"}');
    await end(parent);
  });

  test("a console's client that reads nothing is not waited for; its log has everything", async () => {
    const bytes = 8 * 1024 * 1024;
    const words = [
      "-chardev",
      "socket,id=c,path=con.sock,server=on,wait=on,logfile=log",
      "-serial",
      "chardev:c",
    ];
    const parent = start(words, { enclave: { heartbeatMs: 1, consoleFloodBytes: bytes, liveMs: 2500 } });
    const socket = (await connectionTo(here.path("con.sock"))).pause();
    const result = await end(parent);
    expect(result.stderr).toContain("its reader takes nothing");
    expect(Buffer.from(readFileSync(here.path("log"))).equals(Buffer.from(floodPattern(0, bytes)))).toBe(
      true,
    );
    socket.destroy();
  });

  test("a flood of the console loses nothing while a client asks, and the launcher does not grow", async () => {
    const bytes = 192 * 1024 * 1024;
    const parent = start(["-qmp", `unix:${QMP}`, "-serial", "file:flood"], {
      enclave: { heartbeatMs: 1, consoleFloodBytes: bytes },
    });
    const talk = await qmp();
    const pid = parent.commandPid() ?? 0;
    const sizes: number[] = [];
    // How soon it is answered is measured by the benchmark; here it is answered, again and again until all is there.
    for (let asked = 0; statSync(here.path("flood")).size < bytes; asked++) {
      expect(await status(talk)).toEndWith(RUNNING);
      if (asked > 5) sizes.push(residentKiB(pid));
      await Bun.sleep(1);
    }
    talk.send('{"execute":"quit"}');
    const result = await end(parent);
    expect(result.report.consoles).toEqual([{ cid: 16, produced: bytes, delivered: bytes }]);
    expect(Buffer.compare(readFileSync(here.path("flood")), floodPattern(0, bytes))).toBe(0);
    expect(Math.max(0, ...sizes) - Math.min(...sizes, Number.MAX_SAFE_INTEGER)).toBeLessThan(16 * 1024);
  });
});

function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Writes text again and again until so many bytes are gone, without reading an answer. */
async function pour(path: string, text: string, bytes: number): Promise<void> {
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

describe.skipIf(notHere !== undefined)("other people's clients", () => {
  test("socat on HMP and on QMP", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-monitor", "unix:hmp.sock,server=on,wait=off"]);
    (await qmp()).close();
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

  const client = process.env["NITRO_QMP_CLIENT"] ?? "";
  test.skipIf(client === "")("python3-qemu-qmp", async () => {
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
    (await qmp()).close();
    const python = Bun.spawnSync(["python3", "-c", script, here.path("qmp.sock")], {
      env: { ...process.env, PYTHONPATH: client },
    });
    expect(python.stderr.toString()).not.toContain("ImportError");
    expect(python.stdout.toString()).toBe(
      "{'status': 'running', 'running': True}\n16\nCommandNotFound\nhost-qmp-quit\n",
    );
    expect((await end(parent)).status).toBe(0);
  });
});

describe.skipIf(notHere !== undefined)("the kinds of character devices", () => {
  test("tcp with telnet: options are negotiated, 255 is doubled, commands are left out", async () => {
    const words = ["-qmp", `unix:${QMP}`, "-monitor", "telnet:127.0.0.1:0,server=on,wait=off"];
    const parent = start(words, { ...QUIET, network: "machine" });
    const talk = await qmp();
    talk.send('{"execute":"query-chardev"}\n');
    const port = Number(/telnet:127\.0\.0\.1:(\d+),server=on/.exec(await talk.until(/"return".*\r\n/))?.[1]);
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
    talk.send('{"execute":"quit"}');
    await end(parent);
  });

  test("a pty: its path is told, and a monitor answers on it", async () => {
    const parent = start(["-qmp", `unix:${QMP}`, "-monitor", "pty"]);
    const talk = await qmp();
    talk.send('{"execute":"query-chardev"}\n');
    const path = /"pty:(\/dev\/pts\/\d+)"/.exec(await talk.until(/"return".*\r\n/))?.[1] ?? "";
    const answer = Bun.spawnSync(["socat", "-t1", "-", `${path},raw,echo=0`], {
      stdin: Buffer.from("info status\n"),
    });
    expect(answer.stdout.toString()).toContain("VM status: running");
    talk.send('{"execute":"quit"}');
    expect((await end(parent)).stderr).toContain(
      `nitro: char device redirected to ${path} (label compat_monitor1)`,
    );
  });

  test("a pipe, a log that is added to, and a ring buffer as the console", async () => {
    Bun.spawnSync(["mkfifo", here.path("fifo.in"), here.path("fifo.out")]);
    here.file("kept", "before\n");
    const ring = ["-chardev", "ringbuf,id=r,size=1024,logfile=kept,logappend=on", "-serial", "chardev:r"];
    const parent = start([...ring, "-qmp", `unix:${QMP}`, "-monitor", "pipe:fifo"]);
    const talk = await qmp();
    await eventually("the console", () => here.text("kept").includes("hello"));
    talk.send('{"execute":"ringbuf-read","arguments":{"device":"r","size":100}}\n');
    expect(await talk.until(/"return".*\r\n/)).toContain('{"return": "hello\\n"}');
    expect(here.text("kept")).toBe("before\nhello\n");
    const shell = `timeout 5 head -c 60 ${here.path("fifo.out")} & sleep 0.2; echo quit > ${here.path("fifo.in")}; wait`;
    const answer = Bun.spawnSync(["sh", "-c", shell]);
    expect(answer.stdout.toString()).toContain("monitor - type 'help'");
    expect((await end(parent)).status).toBe(0);
  });

  test("wait=on waits for its client before anything is asked of the host; a signal ends that", async () => {
    const parent = start(["-serial", "unix:con.sock,server=on"]);
    const talk = await Talk.to(here.path("con.sock"));
    expect(await talk.until(/hello\n/)).toContain("hello");
    talk.close();
    parent.kill("SIGTERM");
    expect((await end(parent)).stderr).toContain(
      "waiting for connection on: disconnected:unix:con.sock,server=on",
    );
    const other = start(["-serial", "unix:con.sock,server=on"]);
    await eventually("the socket", () => statOrNothing(here.path("con.sock")));
    await Bun.sleep(200);
    other.kill("SIGTERM");
    const result = await end(other);
    expect([result.status, entries(result, "NE_CREATE_VM")]).toEqual([0, []]);
  });

  test("a client that cannot connect fails the launch; with reconnect it comes when the server does", async () => {
    const failed = await start(["-serial", "unix:nobody.sock"]).finished();
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringContaining("Failed to connect")]);
    const parent = start(["-qmp", `unix:${QMP}`, "-chardev", "socket,id=c,path=late.sock,reconnect-ms=50"]);
    const talk = await qmp();
    const server = Bun.spawn(["socat", "-u", `UNIX-LISTEN:${here.path("late.sock")}`, "-"], {
      stdout: "ignore",
    });
    await eventually("the connection", async () => {
      talk.send('{"execute":"query-chardev"}\n');
      return (await talk.until(/"return".*\r\n/)).includes('"unix:late.sock"') ? true : undefined;
    });
    talk.send('{"execute":"quit"}');
    await end(parent);
    server.kill();
  });

  test("the end of standard input ends nothing", async () => {
    const parent = start(["-nographic", "-qmp", `unix:${QMP}`]);
    const talk = await qmp();
    await Bun.sleep(300);
    expect(await status(talk)).toEndWith(RUNNING);
    talk.send('{"execute":"quit"}');
    expect((await end(parent)).stdout).toBe("hello\n");
  });
});

function statOrNothing(path: string) {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
