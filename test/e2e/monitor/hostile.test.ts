/** Clients that mean no good: whatever they send and however often they come, others are answered and nothing is left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createConnection } from "node:net";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import { eventually, expectNothingLeft, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { Talk } from "./exchanges.ts";

const here = new Workplace();

/** Sends a text, reads the answers as they come, and goes away when so many bytes of either kind have passed. */
async function visit(name: string, text: string, answerBytes = 0): Promise<void> {
  const socket = createConnection(here.path(name));
  socket.on("error", () => {});
  let got = 0;
  await new Promise<void>((resolve) => {
    socket.once("connect", () =>
      socket.write(Buffer.from(text, "latin1"), () => got >= answerBytes && resolve()),
    );
    socket.on("data", (piece) => {
      got += piece.length;
      if (got >= answerBytes) resolve();
    });
    socket.once("close", () => resolve());
  });
  socket.destroy();
}

describe.skipIf(notHere !== undefined)("a monitor", () => {
  let parent: ParentProcess;
  let good: Talk;
  const descriptors = () => readdirSync(`/proc/${parent.commandPid()}/fd`).length;

  /** How many there are when the last client's end has been seen, and the heartbeat's: that may take a while. */
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
    const words = [
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
    parent = startLaunch({ command: here.debug(...words), cwd: here.directory, scenario });
    good = await Talk.to(here.path("good"));
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

  /** The good client is answered, and a fresh one is greeted as if nothing had been. */
  async function allIsWell(): Promise<void> {
    good.send('{"execute":"query-status"}\n');
    expect(await good.until(/"return".*\r\n/)).toContain('"running": true');
    const qmp = await Talk.to(here.path("qmp"));
    expect(await qmp.until(/\r\n/)).toStartWith('{"QMP": ');
    qmp.send('{"execute":"qmp_capabilities","id":1}\n');
    expect(await qmp.until(/\r\n/)).toBe('{"return": {}, "id": 1}\r\n');
    qmp.close();
    const hmp = await Talk.to(here.path("hmp"));
    expect(await hmp.until(/\(qemu\) /)).toMatch(
      /^QEMU \S+ monitor - type 'help' for more information\r\n\(qemu\) $/,
    );
    hmp.send("info name\n");
    expect(await hmp.until(/\r\n\(qemu\) $/)).toEndWith("info name\x1b[K\r\n(qemu) ");
    hmp.close();
  }

  test("is visited three hundred times, by clients that leave in the middle of a command", async () => {
    const before = await descriptorsAtRest();
    const halves = [
      '{"execute":"qmp_capab',
      '{"execute":"qmp_capabilities"}\n{"execute":"query-qmp-sch',
      "info na\x1b[",
      "\xe2\x82",
    ];
    for (let i = 0; i < 150; i++) {
      await Promise.all([visit("qmp", halves[i % 4] ?? ""), visit("hmp", halves[(i + 2) % 4] ?? "")]);
    }
    await allIsWell();
    await eventually("the last one's end", () => descriptors() <= before);
  });

  test.each([
    ["brackets a hundred thousand deep", "qmp", "[".repeat(100_000), "nesting depth limit"],
    ["objects in objects", "qmp", '{"a":'.repeat(20_000), "nesting depth limit"],
    ["a string without an end", "qmp", `"${"x".repeat(100_000)}`, "token size limit"],
    ["a number without an end", "qmp", "1".repeat(100_000), "token size limit"],
    ["a list without an end", "qmp", `[${"1,".repeat(100_000)}`, "token size limit"],
    ["bytes of every kind", "qmp", String.fromCharCode(...Array(256).keys()), "stray"],
  ])("is sent %s", async (_, name, text, error) => {
    const bad = await Talk.to(here.path(name));
    await bad.until(/\r\n/);
    bad.send(text);
    expect(await bad.until(/"desc": .*\r\n/)).toContain(error);
    bad.close();
    await allIsWell();
  });

  test.each([
    ["escape sequences without an end", `${"\x1b[".repeat(5000)}${"9;".repeat(5000)}`],
    [
      "every key there is, again and again",
      String.fromCharCode(...Array(256).keys())
        .replaceAll("\n", "")
        .repeat(40),
    ],
    ["a line that is longer than lines can be", `${"x".repeat(6000)}\n`],
    ["completions of everything", "\t\t\tinfo \t\t\nqom-list /\t\t\tmachine/\t\t\n".repeat(20)],
    [
      "a client's cursor moved beyond all ends",
      "abc\x1b[D\x1b[D\x1b[D\x1b[D\x1b[C\x1b[C\x1b[3~\x7f\x7f\x7f\x7f\x17\x0b\x15".repeat(200),
    ],
  ])("is typed %s", async (_, text) => {
    await visit("hmp", text, 1000);
    await allIsWell();
  });

  test("keeps what a client asked for that reads nothing, up to a bound, and drops it when he goes", async () => {
    const before = await descriptorsAtRest();
    const deaf = createConnection(here.path("qmp"));
    await new Promise((resolve) => deaf.once("connect", resolve));
    deaf.pause();
    deaf.write('{"execute":"qmp_capabilities"}\n');
    deaf.write('{"execute":"query-qmp-schema"}\n'.repeat(5000));
    good.send('{"execute":"query-status"}\n');
    expect(await good.until(/"return".*\r\n/)).toContain('"running": true');
    deaf.destroy();
    await allIsWell();
    await eventually("the last one's end", () => descriptors() <= before);
  });
});
