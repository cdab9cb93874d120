/**
 * What QEMU 11 answered, asked of nitro in the same emulated parent instance. Where nitro's answer differs, the exchange
 * is in DEVIATIONS with what nitro says and why; the README lists the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import { fakeInitrd, fakeKernel } from "../launch/images.ts";
import { expectNothingLeft, NITRO, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import {
  askHmp,
  askQmp,
  type Exchange,
  HMP_LINES,
  KEYS,
  launchOf,
  QMP_LINES,
  Talk,
  typeKeys,
} from "./exchanges.ts";

const RECORDED: readonly Exchange[] = readFileSync(join(import.meta.dir, "exchanges.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));

interface Deviation {
  readonly send: RegExp;
  /** What nitro answers. */
  readonly answer: RegExp;
  readonly why: string;
}

const PAUSED = /an enclave cannot be (paused|reset)/;

const DEVIATIONS: readonly Deviation[] = [
  {
    send: /^info version|query-version/,
    answer: /^11\.1\.0 \(nitro \d+\.\d+\.\d+\)\r\n$|"major": 11\}, "package": "nitro \d+\.\d+\.\d+"\}/,
    why: "names itself beside QEMU's interface level",
  },
  {
    send: /^info memdev|query-memdev/,
    answer: /memory backend: ram\r\n.*prealloc: true\r\n|"prealloc": true/s,
    why: "the memory is allocated before the start, and never dumped or merged",
  },
  {
    send: /^info cpus|query-cpus-fast/,
    answer: /CPU #0: host CPU \d+\r\n {2}CPU #1|"cpu-index": 0/,
    why: "QEMU lists none; nitro tells which CPUs of the parent the enclave has",
  },
  {
    send: /query-accelerators/,
    answer: /"enabled": "nitro", "present": \["nitro"\]/,
    why: "QEMU's list lacks nitro",
  },
  {
    send: /^info chardev/,
    answer: /^(?!.*parallel0)/s,
    why: "the connection to the console is no character device, and there is no parallel port",
  },
  { send: /^qom-list \/$/, answer: /^(?!.*audiodevs)/s, why: "an enclave has no sound" },
  {
    send: /^(stop|cont|system_reset)$|"(stop|cont|system_reset)"/,
    answer: PAUSED,
    why: "QEMU pretends; an enclave can be neither paused nor reset",
  },
];

/** Lists come in no particular order from QEMU, and members of an object neither. */
function normal({ face, send, answer }: Exchange): unknown {
  if (face === "keys") return answer;
  if (face === "hmp") return /^(qom-list|info chardev)/.test(send) ? answer.split("\r\n").sort() : answer;
  return answer
    .trimEnd()
    .split("\r\n")
    .map((line) => {
      // Of the place of an error the column is compared; lines count from the connection on.
      const told = JSON.parse(line.replace(/"desc": "\d+:(\d+): /, '"desc": "$1: '));
      if (/"qom-list"/.test(send) && Array.isArray(told.return)) {
        told.return.sort((a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name));
      }
      return told;
    });
}

describe.skipIf(notHere !== undefined)("what QEMU answered", () => {
  const here = new Workplace();
  let parent: ParentProcess;
  const answers: Exchange[] = [];

  beforeAll(async () => {
    here.file("kernel", fakeKernel());
    here.file("initrd", fakeInitrd());
    parent = startLaunch(launchOf([NITRO], here.directory));
    const monitor = await Talk.to(here.path("hmp.sock"));
    await monitor.until(/\(qemu\) $/);
    monitor.close();
    answers.push(...(await askHmp(here.path("hmp.sock"), HMP_LINES)));
    answers.push(...(await askQmp(here.path("qmp.sock"), QMP_LINES)));
    answers.push(...(await typeKeys(here.path("hmp.sock"), KEYS)));
  });

  afterAll(async () => {
    parent.kill("SIGTERM");
    const result = await parent.finished();
    here[Symbol.dispose]();
    expect(result.status).toBe(0);
    expectNothingLeft(result);
  });

  test("is recorded in more than 100 exchanges, of the same words", () => {
    expect(RECORDED.map(({ send }) => send)).toEqual([...HMP_LINES, ...QMP_LINES, ...KEYS]);
    expect(RECORDED.length).toBeGreaterThan(100);
  });

  test.each(RECORDED.map((recorded, i) => [`${recorded.face} ${i}: ${recorded.send}`, i] as const))(
    "%s",
    (_, i) => {
      const [recorded, own] = [RECORDED[i], answers[i]];
      if (recorded === undefined || own === undefined) throw new Error("that exchange was not had");
      const deviation = DEVIATIONS.find(({ send }) => send.test(recorded.send));
      if (deviation === undefined) expect(normal(own)).toEqual(normal(recorded));
      else expect(own.answer).toMatch(deviation.answer);
    },
  );

  test("every deviation is one", () => {
    const idle = DEVIATIONS.filter(({ send }) =>
      RECORDED.every((recorded, i) => {
        const own = answers[i];
        return (
          !send.test(recorded.send) || own === undefined || Bun.deepEquals(normal(own), normal(recorded))
        );
      }),
    );
    expect(idle.map(({ why }) => why)).toEqual([]);
  });
});
