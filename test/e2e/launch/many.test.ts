/** Many launches on one parent instance leave nothing behind. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import {
  entries,
  eventually,
  expectNothingLeft,
  launchAs,
  lines,
  notHere,
  shellWords,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** The descriptors of a running launcher: standard streams, the runtime's, and one of each kind that a launch needs. */
const KNOWN: { what: string; path: RegExp; most: number }[] = [
  { what: "standard input", path: /^\/dev\/null$/, most: 1 },
  { what: "sockets: standard streams and the console", path: /^socket:/, most: 3 },
  { what: "the console's file", path: /\/console$/, most: 1 },
  { what: "the enclave, and standard streams", path: /^pipe:/, most: 4 },
  {
    what: "what other launches may ask of the heartbeat's holder",
    path: /^\/memfd:nitro-heartbeat-holder /,
    most: 1,
  },
  { what: "the runtime's event loop, and the signals", path: /^anon_inode:/, most: 4 },
];

describe.skipIf(notHere !== undefined)("repeated launches", () => {
  test("repeated launches: nothing is left after 200 of them", async () => {
    const [temporary, working] = [here.path("tmp"), here.path("cwd")];
    mkdirSync(temporary);
    mkdirSync(working);
    const command = shellWords(here.production("-smp", "2"));
    const script = `i=0; while [ $i -lt 200 ]; do ${command}; echo $?; i=$((i + 1)); done`;
    const result = await launchAs({
      command: ["sh", "-c", script],
      scenario: { checkWrites: false, enclave: { heartbeatMs: 0, noHeartbeatFatal: false, liveMs: 1 } },
      env: { TMPDIR: temporary },
      cwd: working,
    });
    const statuses = lines(result.stdout);
    expect(statuses).toHaveLength(200);
    // Such an early heartbeat may or may not be received before the exit.
    expect(statuses.filter((status) => status !== "5" && status !== "3")).toEqual([]);
    expect(entries(result, "NE_START_ENCLAVE").map(({ cid }) => cid)).toEqual(Array(200).fill(16));
    expect(readdirSync(temporary)).toEqual([]);
    expect(readdirSync(working)).toEqual([]);
    expectNothingLeft(result);
  });

  test("launcher: has no unexpected descriptors", async () => {
    const command = here.debug("-serial", `file:${here.path("console")}`);
    const run = startLaunch({ command, scenario: { enclave: { console: ["up"], heartbeatMs: 1 } } });
    await eventually("the console", () => Bun.file(here.path("console")).size > 0);
    const pid = await eventually("the launcher", () => run.commandPid());
    const directory = `/proc/${pid}/fd`;
    const open = readdirSync(directory).map((fd) => readlinkSync(join(directory, fd)));
    expect(open.length).toBeLessThan(14);
    for (const { what, path, most } of KNOWN) {
      expect({ what, many: open.filter((name) => path.test(name)).slice(most) }).toEqual({ what, many: [] });
    }
    expect(open.filter((name) => !KNOWN.some(({ path }) => path.test(name)))).toEqual([]);
    run.kill("SIGKILL");
    expectNothingLeft(await run.finished());
  });
});
