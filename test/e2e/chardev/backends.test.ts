/** Every character device backend as the console, in the syntax of -chardev and of -serial. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { eventually, expectNothingLeft, launch, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { connectSocket, MonitorClient } from "../monitor/client.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const TEXT = "hello\n";
const QMP = ["-qmp", "unix:qmp.sock,server=on,wait=off"];

function start(...args: string[]): ParentProcess {
  // TCP connects to or from this test, so the launch must share its network.
  const network = args.some((arg) => /127\.0\.0\.1|localhost/.test(arg)) ? "machine" : "own";
  const scenario: ScenarioInput = { network, enclave: { console: ["hello"], heartbeatMs: 1 } };
  return startLaunch({ command: here.debug(...args), cwd: here.directory, scenario });
}

async function end(parent: ParentProcess, signal: NodeJS.Signals = "SIGTERM") {
  parent.kill(signal);
  const result = await parent.finished();
  expect(result.status).toBe(0);
  expectNothingLeft(result);
  return result;
}

/** Waits for a message of nitro. It consumes standard error, so parent.finished() does not return that. */
async function waitForMessage(parent: ParentProcess, pattern: RegExp): Promise<RegExpExecArray> {
  const reader = parent.process.stderr.getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    text += new TextDecoder().decode(value);
    const found = pattern.exec(text);
    if (found !== null) return found;
    if (done) throw new Error(`no message matches ${pattern}: ${text}`);
  }
}

/** Receives the console output on a connection. */
async function readConsole(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    text += String(chunk);
  });
  await eventually("console output", () => text.includes(TEXT));
  return text;
}

/** Listens on a path or TCP port; `first` is the first client. */
async function listen(at: string | number) {
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

/** Test cases for the syntax of -chardev and of -serial. */
function bothSyntaxes(long: string, short: string): (readonly [string, string[]])[] {
  return [
    [`-chardev ${long}`, ["-chardev", `${long},id=c`, "-serial", "chardev:c"]],
    [`-serial ${short}`, ["-serial", short]],
  ];
}

describe.skipIf(notHere !== undefined)("console", () => {
  test.each(bothSyntaxes("file,path=out", "file:out"))(
    "%s: creates or truncates the file",
    async (_, args) => {
      here.file("out", "longer than the output of the console");
      const parent = start(...args);
      await eventually("console output", () => here.text("out") === TEXT);
      await end(parent);
    },
  );

  test("-chardev file,append=on: appends to the file", async () => {
    here.file("kept", "before\n");
    const parent = start("-chardev", "file,id=c,path=kept,append=on", "-serial", "chardev:c");
    await eventually("console output", () => here.text("kept") === `before\n${TEXT}`);
    await end(parent);
  });

  test.each(bothSyntaxes("pipe,path=fifo", "pipe:fifo"))("%s: writes to a FIFO", async (_, args) => {
    Bun.spawnSync(["mkfifo", here.path("fifo.in"), here.path("fifo.out")]);
    const reader = Bun.spawn(["head", "-c", String(TEXT.length), here.path("fifo.out")], { stdout: "pipe" });
    const parent = start(...args);
    expect(await new Response(reader.stdout).text()).toBe(TEXT);
    await end(parent);
  });

  test.each(bothSyntaxes("pty,path=link", "pty:link"))(
    "%s: opens a pseudoterminal with mode 0600 and a symbolic link to it",
    async (_, args) => {
      const parent = start(...args);
      const [, path = ""] = await waitForMessage(
        parent,
        /char device redirected to (\/dev\/pts\/\d+) \(label (?:c|serial0)\)/,
      );
      expect(readlinkSync(here.path("link"))).toBe(path);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const reader = Bun.spawn(["head", "-c", String(TEXT.length), path], { stdout: "pipe" });
      expect(await new Response(reader.stdout).text()).toBe(TEXT);
      await end(parent);
      expect(existsSync(here.path("link"))).toBe(false);
    },
  );

  test.each(bothSyntaxes("socket,path=con.sock,server=on", "unix:con.sock,server=on"))(
    "%s: waits for the first client",
    async (_, args) => {
      const parent = start(...args);
      const socket = await connectSocket(here.path("con.sock"));
      expect(await readConsole(socket)).toBe(TEXT);
      socket.destroy();
      await end(parent);
      expect(existsSync(here.path("con.sock"))).toBe(false);
    },
  );

  test.each(bothSyntaxes("socket,path=server.sock", "unix:server.sock"))(
    "%s: connects to a server",
    async (_, args) => {
      using server = await listen(here.path("server.sock"));
      const parent = start(...args);
      expect(await readConsole(await server.first)).toBe(TEXT);
      await end(parent);
    },
  );

  test.each(bothSyntaxes("socket,host=127.0.0.1,port=PORT,nodelay=on", "tcp:127.0.0.1:PORT,nodelay=on"))(
    "%s: connects to a server",
    async (_, args) => {
      using server = await listen(0);
      const parent = start(...args.map((arg) => arg.replace("PORT", String(server.port))));
      expect(await readConsole(await server.first)).toBe(TEXT);
      await end(parent);
    },
  );

  test.each(
    bothSyntaxes("socket,host=127.0.0.1,port=0,server=on", "tcp:127.0.0.1:0,server=on").concat(
      bothSyntaxes("socket,host=localhost,port=0,server,telnet=on", "telnet:localhost:0,server"),
    ),
  )("%s: waits for the first client", async (_, args) => {
    const parent = start(...args);
    const [, port] = await waitForMessage(
      parent,
      /waiting for connection on: disconnected:(?:tcp|telnet):\S+:(\d+),server=on/,
    );
    const socket = createConnection(Number(port), "127.0.0.1");
    expect(await readConsole(socket)).toEndWith(TEXT);
    socket.destroy();
    await end(parent);
  });

  test("-chardev socket,reconnect-ms=N: reconnects after the server has closed the connection", async () => {
    const first = await listen(here.path("again.sock"));
    const args = ["-chardev", "socket,id=c,path=again.sock,reconnect-ms=20", "-serial", "chardev:c"];
    const lines = { console: Array.from({ length: 600 }, () => "hello"), consoleEveryMs: 20, heartbeatMs: 1 };
    const parent = startLaunch({
      command: here.debug(...args),
      cwd: here.directory,
      scenario: { enclave: lines },
    });
    const socket = await first.first;
    await readConsole(socket);
    socket.destroy();
    first[Symbol.dispose]();
    using second = await listen(here.path("again.sock"));
    await readConsole(await second.first);
    await end(parent);
  });

  test("mux=on: console and monitor share a socket, with the mux's key commands", async () => {
    const mux = ["-chardev", "socket,id=m,path=mux.sock,server=on,mux=on,logfile=mux.log"];
    const parent = start(...mux, "-serial", "chardev:m", "-mon", "chardev=m,mode=readline");
    const client = await MonitorClient.connect(here.path("mux.sock"));
    await client.until(/hello\n/);
    client.send("\x01c");
    await client.until(/\(qemu\) $/);
    client.send("info chardev\n");
    expect(await client.until(/\(qemu\) $/)).toContain(
      "m: filename=mux\r\nm-base: filename=unix:mux.sock,server=on\r\n",
    );
    client.send("\x01h");
    await client.until(/C-a c +switch between console and monitor/);
    // A Ctrl-A of one client must not turn the next client's x into a command.
    client.send("\x01");
    client.close();
    const next = await MonitorClient.connect(here.path("mux.sock"));
    await next.until(/\(qemu\) $/);
    next.send("x\x15info name\n");
    expect(await next.until(/\r\n\(qemu\) $/)).toEndWith("info name\x1b[K\r\n(qemu) ");
    next.send("\x01x");
    const result = await parent.finished();
    expect([result.status, lastLine(result.stderr)]).toEqual([0, "nitro: quit: stopping the enclave"]);
    expect(readFileSync(here.path("mux.log"), "utf8")).toMatch(/^hello\n.*\(qemu\) /s);
    expectNothingLeft(result);
  });

  test("chardev-change replaces a device in use; chardev-remove removes an unused one", async () => {
    const lines = {
      console: Array.from({ length: 600 }, (_, i) => `line ${i}`),
      consoleEveryMs: 20,
      heartbeatMs: 1,
    };
    const args = ["-chardev", "file,id=c,path=one", "-serial", "chardev:c", ...QMP];
    const parent = startLaunch({
      command: here.debug(...args),
      cwd: here.directory,
      scenario: { enclave: lines },
    });
    const client = await MonitorClient.connect(here.path("qmp.sock"));
    const ask = async (execute: string, args: object = {}) => {
      client.send(`${JSON.stringify({ execute, arguments: args })}\n`);
      return JSON.parse((await client.until(/"(return|error)": .*\r\n/)).trim().split("\r\n").at(-1) ?? "");
    };
    await client.until(/"QMP".*\r\n/);
    await ask("qmp_capabilities");
    await eventually("console output", () => here.text("one").includes("line 3\n"));
    const backend = { type: "file", data: { out: "two" } };
    expect(await ask("chardev-change", { id: "c", backend })).toEqual({ return: {} });
    await eventually("output in the new file", () => here.text("two").includes("\n"));
    const output = here.text("one") + here.text("two");
    expect(output).toBe(
      lines.console
        .slice(0, output.split("\n").length - 1)
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
    client.close();
    await end(parent);
  });
});

function lastLine(text: string): string | undefined {
  return text.trimEnd().split("\n").at(-1);
}

test.skipIf(notHere !== undefined)(
  "-chardev: rejects invalid properties before the enclave is created",
  async () => {
    const rejected: readonly [string, string][] = [
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
      ["socket,id=c,host=no.such.host,port=1", "host names are not resolved"],
      ["socket,id=c,host=127.0.0.1,port=99999", "Parameter 'port' expects a port, 0 to 65535"],
    ];
    for (const [chardev, why] of rejected) {
      const result = await launch(here.debug("-chardev", chardev));
      expect(result.stderr).toContain(why);
      expect(result.stderr).toStartWith(`nitro: -chardev ${chardev}: `);
      expect([result.status, result.report.consoles]).toEqual([1, []]);
    }
  },
);
