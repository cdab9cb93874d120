/**
 * Replays QEMU 11's recorded monitor exchanges against nitro in the same emulated parent instance. Where nitro's answer
 * differs on purpose, DEVIATIONS has its answer and the reason; the manual's list of deviations has the same entries.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ParentProcess } from "../../emulated-parent/run.ts";
import { fakeInitrd, fakeKernel } from "../launch/images.ts";
import { expectNothingLeft, NITRO, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { MonitorClient } from "./client.ts";
import {
  askHmp,
  askQmp,
  type Exchange,
  HMP_LINES,
  KEYS,
  launchOf,
  QMP_LINES,
  typeKeys,
} from "./exchanges.ts";

const RECORDED: readonly Exchange[] = readFileSync(join(import.meta.dir, "exchanges.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));

interface Deviation {
  readonly send: RegExp;
  /** nitro's answer. */
  readonly answer: RegExp;
  readonly why: string;
}

const PAUSED = /an enclave cannot be (paused|reset)/;

const DEVIATIONS: readonly Deviation[] = [
  {
    send: /^info version|query-version/,
    answer: /^11\.1\.0 \(nitro \d+\.\d+\.\d+\)\r\n$|"major": 11\}, "package": "nitro \d+\.\d+\.\d+"\}/,
    why: "nitro reports its own version next to QEMU's",
  },
  {
    send: /^info memdev|query-memdev/,
    answer: /memory backend: ram\r\n.*prealloc: true\r\n|"prealloc": true/s,
    why: "nitro preallocates the memory, and never dumps or merges it",
  },
  {
    send: /^info cpus|query-cpus-fast/,
    answer: /CPU #0: host CPU \d+\r\n {2}CPU #1|"cpu-index": 0/,
    why: "QEMU lists none; nitro lists the parent's CPUs that the enclave uses",
  },
  {
    send: /query-accelerators/,
    answer: /"enabled": "nitro", "present": \["nitro"\]/,
    why: "QEMU's list lacks nitro",
  },
  {
    send: /^info chardev/,
    answer: /^(?!.*parallel0)/s,
    why: "nitro has no character device for the console's connection, and no parallel port",
  },
  { send: /^qom-list \/$/, answer: /^(?!.*audiodevs)/s, why: "an enclave has no sound" },
  {
    send: /^system_powerdown$|"system_powerdown"/,
    answer:
      /^(Error: |\{"error": \{"class": "GenericError", "desc": ")an enclave has no power button: .*; quit stops the enclave/,
    why: "QEMU sends ACPI's power-down event, which no enclave receives",
  },
  {
    send: /^(stop|cont|system_reset)$|"(stop|cont|system_reset)"/,
    answer: PAUSED,
    why: "QEMU changes only its own run state; an enclave can be neither paused nor reset",
  },
];

/** Removes differences without meaning: the order of lists and members. */
function normalize({ face, send, answer }: Exchange): unknown {
  if (face === "keys") return answer;
  if (face === "hmp") return /^(qom-list|info chardev)/.test(send) ? answer.split("\r\n").sort() : answer;
  return answer
    .trimEnd()
    .split("\r\n")
    .map((line) => {
      // An error's line number counts from the start of the connection, so only the column is compared.
      const response = JSON.parse(line.replace(/"desc": "\d+:(\d+): /, '"desc": "$1: '));
      if (/"qom-list"/.test(send) && Array.isArray(response.return)) {
        response.return.sort((a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name));
      }
      return response;
    });
}

describe.skipIf(notHere !== undefined)("monitor exchanges recorded with QEMU", () => {
  const here = new Workplace();
  let parent: ParentProcess;
  const answers: Exchange[] = [];

  beforeAll(async () => {
    here.file("kernel", fakeKernel());
    here.file("initrd", fakeInitrd());
    parent = startLaunch(launchOf([NITRO], here.directory));
    const monitor = await MonitorClient.connect(here.path("hmp.sock"));
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

  test("recording: has an answer for each input", () => {
    expect(RECORDED.map(({ send }) => send)).toEqual([...HMP_LINES, ...QMP_LINES, ...KEYS]);
    expect(RECORDED.length).toBeGreaterThan(100);
  });

  test.each(RECORDED.map((recorded, i) => [`${recorded.face} ${i}: ${recorded.send}`, i] as const))(
    "recorded exchange: %s",
    (_, i) => {
      const [recorded, own] = [RECORDED[i], answers[i]];
      if (recorded === undefined || own === undefined) throw new Error("no answer for this exchange");
      const deviation = DEVIATIONS.find(({ send }) => send.test(recorded.send));
      if (deviation === undefined) expect(normalize(own)).toEqual(normalize(recorded));
      else expect(own.answer).toMatch(deviation.answer);
    },
  );

  test("deviations: each listed one differs from QEMU", () => {
    const unused = DEVIATIONS.filter(({ send }) =>
      RECORDED.every((recorded, i) => {
        const own = answers[i];
        return (
          !send.test(recorded.send) ||
          own === undefined ||
          Bun.deepEquals(normalize(own), normalize(recorded))
        );
      }),
    );
    expect(unused.map(({ why }) => why)).toEqual([]);
  });
});
