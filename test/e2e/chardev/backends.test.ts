/** Every kind of character device as the console, in the spelling of -chardev and in the shorter one of -serial. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { eventually, expectNothingLeft, launch, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { connectionTo, Talk } from "../monitor/exchanges.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const TEXT = "hello\n";
const QMP = ["-qmp", "unix:qmp.sock,server=on,wait=off"];

function start(...words: string[]): ParentProcess {
  // Tests are at the other end of TCP.
  const network = words.some((word) => /127\.0\.0\.1|localhost/.test(word)) ? "machine" : "own";
  const scenario: ScenarioInput = { network, enclave: { console: ["hello"], heartbeatMs: 1 } };
  return startLaunch({ command: here.debug(...words), cwd: here.directory, scenario });
}

async function end(parent: ParentProcess, signal: NodeJS.Signals = "SIGTERM") {
  parent.kill(signal);
  const result = await parent.finished();
  expect(result.status).toBe(0);
  expectNothingLeft(result);
  return result;
}

/** The launcher's messages until one matches; nobody else can read them then. */
async function told(parent: ParentProcess, pattern: RegExp): Promise<RegExpExecArray> {
  const reader = parent.process.stderr.getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    text += new TextDecoder().decode(value);
    const found = pattern.exec(text);
    if (found !== null) return found;
    if (done) throw new Error(`${pattern} was never told: ${text}`);
  }
}

/** What comes on a connection until the text is there. */
async function heard(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("latin1").on("data", (piece) => {
    text += String(piece);
  });
  await eventually("the console", () => text.includes(TEXT));
  return text;
}

/** A server of the test's own; `first` is its first client. */
async function serving(at: string | number) {
  const server = createServer();
  const first = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => {
    if (typeof at === "string") server.listen(at, resolve);
    else server.listen(at, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  return { first, port, [Symbol.dispose]: () => void server.close() };
}

/** Both spellings; @param more what -chardev takes and the short form has not. */
function both(long: string, short: string): (readonly [string, string[]])[] {
  return [
    [`-chardev ${long}`, ["-chardev", `${long},id=c`, "-serial", "chardev:c"]],
    [`-serial ${short}`, ["-serial", short]],
  ];
}

describe.skipIf(notHere !== undefined)("the console on", () => {
  test.each(both("file,path=out", "file:out"))("%s: a file, made or emptied", async (_, words) => {
    here.file("out", "a text that is longer than what comes");
    const parent = start(...words);
    await eventually("the console", () => here.text("out") === TEXT);
    await end(parent);
  });

  test("-chardev file,append=on: a file that is added to", async () => {
    here.file("kept", "before\n");
    const parent = start("-chardev", "file,id=c,path=kept,append=on", "-serial", "chardev:c");
    await eventually("the console", () => here.text("kept") === `before\n${TEXT}`);
    await end(parent);
  });

  test.each(both("pipe,path=fifo", "pipe:fifo"))("%s: FIFOs", async (_, words) => {
    Bun.spawnSync(["mkfifo", here.path("fifo.in"), here.path("fifo.out")]);
    const reader = Bun.spawn(["head", "-c", String(TEXT.length), here.path("fifo.out")], { stdout: "pipe" });
    const parent = start(...words);
    expect(await new Response(reader.stdout).text()).toBe(TEXT);
    await end(parent);
  });

  test.each(both("pty,path=link", "pty:link"))("%s: a terminal, and a link to it", async (_, words) => {
    const parent = start(...words);
    const [, path = ""] = await told(
      parent,
      /char device redirected to (\/dev\/pts\/\d+) \(label (?:c|serial0)\)/,
    );
    expect(readlinkSync(here.path("link"))).toBe(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const reader = Bun.spawn(["head", "-c", String(TEXT.length), path], { stdout: "pipe" });
    expect(await new Response(reader.stdout).text()).toBe(TEXT);
    await end(parent);
    expect(existsSync(here.path("link"))).toBe(false);
  });

  test.each(both("socket,path=con.sock,server=on", "unix:con.sock,server=on"))(
    "%s: whoever comes first is waited for",
    async (_, words) => {
      const parent = start(...words);
      const socket = await connectionTo(here.path("con.sock"));
      expect(await heard(socket)).toBe(TEXT);
      socket.destroy();
      await end(parent);
      expect(existsSync(here.path("con.sock"))).toBe(false);
    },
  );

  test.each(both("socket,path=theirs.sock", "unix:theirs.sock"))(
    "%s: a server that is there",
    async (_, words) => {
      using server = await serving(here.path("theirs.sock"));
      const parent = start(...words);
      expect(await heard(await server.first)).toBe(TEXT);
      await end(parent);
    },
  );

  test.each(both("socket,host=127.0.0.1,port=PORT,nodelay=on", "tcp:127.0.0.1:PORT,nodelay=on"))(
    "%s: a server that is there",
    async (_, words) => {
      using server = await serving(0);
      const parent = start(...words.map((word) => word.replace("PORT", String(server.port))));
      expect(await heard(await server.first)).toBe(TEXT);
      await end(parent);
    },
  );

  test.each(
    both("socket,host=127.0.0.1,port=0,server=on", "tcp:127.0.0.1:0,server=on").concat(
      both("socket,host=localhost,port=0,server,telnet=on", "telnet:localhost:0,server"),
    ),
  )("%s: whoever comes first is waited for", async (_, words) => {
    const parent = start(...words);
    const [, port] = await told(
      parent,
      /waiting for connection on: disconnected:(?:tcp|telnet):\S+:(\d+),server=on/,
    );
    const socket = createConnection(Number(port), "127.0.0.1");
    expect(await heard(socket)).toEndWith(TEXT);
    socket.destroy();
    await end(parent);
  });

  test("-chardev socket,reconnect-ms=: comes again after its server has gone", async () => {
    const first = await serving(here.path("again.sock"));
    const words = ["-chardev", "socket,id=c,path=again.sock,reconnect-ms=20", "-serial", "chardev:c"];
    const lines = { console: Array.from({ length: 600 }, () => "hello"), consoleEveryMs: 20, heartbeatMs: 1 };
    const parent = startLaunch({
      command: here.debug(...words),
      cwd: here.directory,
      scenario: { enclave: lines },
    });
    const socket = await first.first;
    await heard(socket);
    socket.destroy();
    first[Symbol.dispose]();
    using second = await serving(here.path("again.sock"));
    await heard(await second.first);
    await end(parent);
  });

  test("a socket that a monitor shares by mux=on: keys and all", async () => {
    const mux = ["-chardev", "socket,id=m,path=mux.sock,server=on,mux=on,logfile=mux.log"];
    const parent = start(...mux, "-serial", "chardev:m", "-mon", "chardev=m,mode=readline");
    const talk = await Talk.to(here.path("mux.sock"));
    await talk.until(/hello\n/);
    talk.send("\x01c");
    await talk.until(/\(qemu\) $/);
    talk.send("info chardev\n");
    expect(await talk.until(/\(qemu\) $/)).toContain(
      "m: filename=mux\r\nm-base: filename=unix:mux.sock,server=on\r\n",
    );
    talk.send("\x01h");
    await talk.until(/C-a c +switch between console and monitor/);
    // What one client has begun is not ended by the next: x alone is a key like others.
    talk.send("\x01");
    talk.close();
    const next = await Talk.to(here.path("mux.sock"));
    await next.until(/\(qemu\) $/);
    next.send("x\x15info name\n");
    expect(await next.until(/\r\n\(qemu\) $/)).toEndWith("info name\x1b[K\r\n(qemu) ");
    next.send("\x01x");
    const result = await parent.finished();
    expect([result.status, lastLine(result.stderr)]).toEqual([0, "nitro: quit: stopping the enclave"]);
    expect(readFileSync(here.path("mux.log"), "utf8")).toMatch(/^hello\n.*\(qemu\) /s);
    expectNothingLeft(result);
  });

  test("a device that is exchanged while it is used, and one that is removed", async () => {
    const lines = {
      console: Array.from({ length: 600 }, (_, i) => `line ${i}`),
      consoleEveryMs: 20,
      heartbeatMs: 1,
    };
    const words = ["-chardev", "file,id=c,path=one", "-serial", "chardev:c", ...QMP];
    const parent = startLaunch({
      command: here.debug(...words),
      cwd: here.directory,
      scenario: { enclave: lines },
    });
    const talk = await Talk.to(here.path("qmp.sock"));
    const ask = async (execute: string, args: object = {}) => {
      talk.send(`${JSON.stringify({ execute, arguments: args })}\n`);
      return JSON.parse((await talk.until(/"(return|error)": .*\r\n/)).trim().split("\r\n").at(-1) ?? "");
    };
    await talk.until(/"QMP".*\r\n/);
    await ask("qmp_capabilities");
    await eventually("the console", () => here.text("one").includes("line 3\n"));
    const backend = { type: "file", data: { out: "two" } };
    expect(await ask("chardev-change", { id: "c", backend })).toEqual({ return: {} });
    await eventually("the other file", () => here.text("two").includes("\n"));
    const kept = here.text("one") + here.text("two");
    expect(kept).toBe(
      lines.console
        .slice(0, kept.split("\n").length - 1)
        .map((line) => `${line}\n`)
        .join(""),
    );
    expect((await ask("chardev-remove", { id: "c" })).error.desc).toBe("Chardev 'c' is busy");
    const socket = {
      type: "socket",
      data: { addr: { type: "unix", data: { path: "more.sock" } }, wait: false },
    };
    expect(await ask("chardev-add", { id: "more", backend: socket })).toEqual({ return: {} });
    expect(existsSync(here.path("more.sock"))).toBe(true);
    expect(await ask("chardev-remove", { id: "more" })).toEqual({ return: {} });
    expect(existsSync(here.path("more.sock"))).toBe(false);
    talk.close();
    await end(parent);
  });
});

function lastLine(text: string): string | undefined {
  return text.trimEnd().split("\n").at(-1);
}

test.skipIf(notHere !== undefined)(
  "what a kind does not take is refused by name, before anything is asked for",
  async () => {
    const refused: readonly [string, string][] = [
      ["file,id=c", "chardev: file: no filename given"],
      ["pipe,id=c", "chardev: pipe: no device path given"],
      ["null,id=c,path=x", "Invalid parameter 'path'"],
      ["null", "chardev: no id specified"],
      ["udp,id=c,port=1", "'udp' is not a valid char driver name"],
      ["ringbuf,id=c,size=1000", "size of ringbuf chardev must be power of two"],
      ["socket,id=c,path=x,wait=off", "'wait' option is incompatible with socket in client connect mode"],
      [
        "socket,id=c,path=x,server=on,reconnect-ms=1",
        "'reconnect-ms' option is incompatible with socket in server listen",
      ],
      ["socket,id=c,host=no.such.host,port=1", "names of hosts are not looked up"],
      ["socket,id=c,host=127.0.0.1,port=99999", "port 99999 is beyond 65535"],
    ];
    for (const [chardev, why] of refused) {
      const result = await launch(here.debug("-chardev", chardev));
      expect(result.stderr).toContain(why);
      expect(result.stderr).toStartWith(`nitro: -chardev ${chardev}: `);
      expect([result.status, result.report.consoles]).toEqual([1, []]);
    }
  },
);
