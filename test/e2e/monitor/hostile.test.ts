/** Hostile monitor clients: no input and no number of connections may affect other clients or leak descriptors. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createConnection } from "node:net";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import { eventually, expectNothingLeft, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { MonitorClient } from "./client.ts";

const here = new Workplace();

/** Connects, sends the text, and disconnects once it is sent and `answerBytes` bytes were received. */
async function visit(name: string, text: string, answerBytes = 0): Promise<void> {
  const socket = createConnection(here.path(name));
  socket.on("error", () => {});
  let got = 0;
  await new Promise<void>((resolve) => {
    socket.once("connect", () =>
      socket.write(Buffer.from(text, "latin1"), () => got >= answerBytes && resolve()),
    );
    socket.on("data", (chunk) => {
      got += chunk.length;
      if (got >= answerBytes) resolve();
    });
    socket.once("close", () => resolve());
  });
  socket.destroy();
}

describe.skipIf(notHere !== undefined)("hostile monitor clients", () => {
  let parent: ParentProcess;
  let good: MonitorClient;
  const descriptors = () => readdirSync(`/proc/${parent.commandPid()}/fd`).length;

  /** Waits until nitro has closed all connections, and returns the number of its open descriptors. */
  async function descriptorsAtRest(): Promise<number> {
    for (let [count, same] = [descriptors(), 0]; ; ) {
      await Bun.sleep(20);
      const now = descriptors();
      same = now === count ? same + 1 : 0;
      if (same === 20) return now;
      count = now;
    }
  }

  beforeAll(async () => {
    const listen = (name: string) => `unix:${name},server=on,wait=off`;
    const args = [
      "-qmp",
      listen("good"),
      "-qmp",
      listen("qmp"),
      "-monitor",
      listen("hmp"),
      "-serial",
      "null",
    ];
    const scenario = { enclave: { console: ["hello"], heartbeatMs: 1 } };
    parent = startLaunch({ command: here.debug(...args), cwd: here.directory, scenario });
    good = await MonitorClient.connect(here.path("good"));
    await good.until(/"QMP".*\r\n/);
    good.send('{"execute":"qmp_capabilities"}\n');
    await good.until(/"return".*\r\n/);
  });

  afterAll(async () => {
    good.send('{"execute":"quit"}\n');
    const result = await parent.finished();
    here[Symbol.dispose]();
    expect(result.status).toBe(0);
    expectNothingLeft(result);
  });

  /** The existing client is answered, and new ones get an untouched session. */
  async function expectUnaffected(): Promise<void> {
    good.send('{"execute":"query-status"}\n');
    expect(await good.until(/"return".*\r\n/)).toContain('"running": true');
    const qmp = await MonitorClient.connect(here.path("qmp"));
    expect(await qmp.until(/\r\n/)).toStartWith('{"QMP": ');
    qmp.send('{"execute":"qmp_capabilities","id":1}\n');
    expect(await qmp.until(/\r\n/)).toBe('{"return": {}, "id": 1}\r\n');
    qmp.close();
    const hmp = await MonitorClient.connect(here.path("hmp"));
    expect(await hmp.until(/\(qemu\) /)).toMatch(
      /^QEMU \S+ monitor - type 'help' for more information\r\n\(qemu\) $/,
    );
    hmp.send("info name\n");
    expect(await hmp.until(/\r\n\(qemu\) $/)).toEndWith("info name\x1b[K\r\n(qemu) ");
    hmp.close();
  }

  test("monitor: survives 300 clients that disconnect in the middle of a command", async () => {
    const before = await descriptorsAtRest();
    const partial = [
      '{"execute":"qmp_capab',
      '{"execute":"qmp_capabilities"}\n{"execute":"query-qmp-sch',
      "info na\x1b[",
      "\xe2\x82",
    ];
    for (let i = 0; i < 150; i++) {
      await Promise.all([visit("qmp", partial[i % 4] ?? ""), visit("hmp", partial[(i + 2) % 4] ?? "")]);
    }
    await expectUnaffected();
    await eventually("all connections to be closed", () => descriptors() <= before);
  });

  test.each([
    ["100,000 nested arrays", "qmp", "[".repeat(100_000), "nesting depth limit"],
    ["20,000 nested objects", "qmp", '{"a":'.repeat(20_000), "nesting depth limit"],
    ["an unterminated string", "qmp", `"${"x".repeat(100_000)}`, "token size limit"],
    ["an unterminated number", "qmp", "1".repeat(100_000), "token size limit"],
    ["an unterminated array", "qmp", `[${"1,".repeat(100_000)}`, "token size limit"],
    ["all byte values", "qmp", String.fromCharCode(...Array(256).keys()), "stray"],
  ])("monitor: rejects %s", async (_, name, text, error) => {
    const hostile = await MonitorClient.connect(here.path(name));
    await hostile.until(/\r\n/);
    hostile.send(text);
    expect(await hostile.until(/"desc": .*\r\n/)).toContain(error);
    hostile.close();
    await expectUnaffected();
  });

  test.each([
    ["unterminated escape sequences", `${"\x1b[".repeat(5000)}${"9;".repeat(5000)}`],
    [
      "all byte values, repeatedly",
      String.fromCharCode(...Array(256).keys())
        .replaceAll("\n", "")
        .repeat(40),
    ],
    ["a line beyond the maximum length", `${"x".repeat(6000)}\n`],
    ["many completions", "\t\t\tinfo \t\t\nqom-list /\t\t\tmachine/\t\t\n".repeat(20)],
    [
      "cursor movement beyond both ends of the line",
      "abc\x1b[D\x1b[D\x1b[D\x1b[D\x1b[C\x1b[C\x1b[3~\x7f\x7f\x7f\x7f\x17\x0b\x15".repeat(200),
    ],
  ])("monitor: survives %s as keys", async (_, text) => {
    await visit("hmp", text, 1000);
    await expectUnaffected();
  });

  test("monitor: bounds the output of a client that does not read, and drops it on disconnect", async () => {
    const before = await descriptorsAtRest();
    const stalled = createConnection(here.path("qmp"));
    await new Promise((resolve) => stalled.once("connect", resolve));
    stalled.pause();
    stalled.write('{"execute":"qmp_capabilities"}\n');
    stalled.write('{"execute":"query-qmp-schema"}\n'.repeat(5000));
    good.send('{"execute":"query-status"}\n');
    expect(await good.until(/"return".*\r\n/)).toContain('"running": true');
    stalled.destroy();
    await expectUnaffected();
    await eventually("all connections to be closed", () => descriptors() <= before);
  });
});
