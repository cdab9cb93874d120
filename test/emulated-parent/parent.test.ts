/** The emulated parent instance itself: it answers as the driver and the hypervisor do, and leaves nothing behind. */

import { describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { accessibleFile, accessibleScript } from "../support/accessible.ts";
import { floodPattern } from "./console.ts";
import { type ParentResult, type ParentRun, runInParent, startInParent, whyNotHere } from "./run.ts";
import type { ScenarioInput } from "./scenario.ts";

const reason = whyNotHere();
const bun = accessibleFile(process.execPath);
const probe = accessibleScript(new URL("probe.ts", import.meta.url).pathname);

/** One step of the probe: a method of it and its arguments. */
type Step = [name: string, ...args: (number | string | boolean)[]];

interface ProbeRun extends ParentResult {
  results: (number | string)[];
}

const MIB = 1024 * 1024;
const PAGE = 2 * MIB;

function probeCommand(steps: Step[]): string[] {
  return [bun, probe, JSON.stringify(steps)];
}

async function launch(
  steps: Step[],
  scenario: ScenarioInput = {},
  more: Partial<ParentRun> = {},
): Promise<ProbeRun> {
  const run = {
    command: probeCommand(steps),
    scenario: { memory: "stand-in", ...scenario },
    limitSeconds: 30,
  } as const;
  const result = await runInParent({ ...run, ...more });
  const results =
    more.command === undefined ? (JSON.parse(result.stdout || "[]") as (number | string)[]) : [];
  return { ...result, results };
}

/** All steps before a start: from the open to the vCPUs. */
const prepared: Step[] = [
  ["open"],
  ["create"],
  ["map", 64],
  ["image"],
  ["listen", 9000],
  ["donateAll", 64],
  ["vcpu", 0],
  ["vcpu", 0],
];
const isPrepared = [0, 1, 0, 101_620, 0, 0, 1, 9];

function entriesOf(result: ParentResult, what: string): Record<string, unknown>[] {
  return result.trace.filter((entry) => entry.what === what);
}

describe.skipIf(reason !== undefined)(
  `the emulated parent instance${reason === undefined ? "" : ` (${reason})`}`,
  () => {
    for (const memory of ["stand-in", "auto"] as const) {
      test(`emulated driver: a launch from open to close succeeds with memory ${memory}`, async () => {
        const steps: Step[] = [
          ...prepared,
          ["loadInfo", 1],
          ["start", 1, 0],
          ["answer"],
          ["pollEnclave", 2000],
          ["close"],
        ];
        const run = await launch(steps, { memory, enclave: { liveMs: 100 } });
        expect(run.results).toEqual([...isPrepared, 8 * MIB, 16, 16, 16, 0]);
        expect(entriesOf(run, "NE_SET_USER_MEMORY_REGION")).toMatchObject([
          { imageComplete: true, bytes: 64 * MIB, regions: 1 },
        ]);
        expect(entriesOf(run, "NE_START_ENCLAVE")).toMatchObject([
          { cid: 16, image: { ok: true, arch: "x86_64" } },
        ]);
        expect(run.report).toMatchObject({ status: 0, slotsLeft: 0, processesLeft: 0, lateWrites: [] });
        expect(run.report.heartbeats).toEqual([{ cid: 16, byte: 0xb7, outcome: "answered" }]);
        // Real pages may be in use by other processes of the machine.
        if (memory === "stand-in") expect(run.report.hugePages.free).toBe(run.report.hugePages.total);
        expect(run.report.memoryPeaks[0]?.peakKiB).toBeGreaterThan(10_000);
      });
    }

    test("emulated driver: refuses calls in the driver's order", async () => {
      const steps: [Step, number][] = [
        [["open"], 0],
        [["create"], 1],
        [["loadInfo", 0], -274],
        [["loadInfo", 2], -274],
        [["start", 2, 1], -274],
        ...[1, 2, 3, 0xffffffff, "4294967296"].map((cid): [Step, number] => [["start", 0, cid], -275]),
        [["start", 0, 0], -266],
        [["mapSmall", 2], 0],
        [["donate", 0, PAGE, 1], -274],
        [["donate", 0, 1000], -259],
        [["donate", 4096, PAGE], -261],
        [["donateAt", "0xffff800000000000", PAGE], -260],
        [["donate", 0, 0], -12],
        [["donate", 0, PAGE], -263],
        [["map", 64], 0],
        [["donateAll", 32], 0],
        [["donate", 0, PAGE], -262],
        [["donate", 30 * MIB, 4 * MIB], -262],
        [["start", 0, 0], -268],
        [["donate", 32 * MIB, 32 * MIB], 0],
        [["start", 0, 0], -267],
        [["vcpu", 16], -271],
        [["vcpu", 5], -257],
        [["vcpu", 2], 2],
        [["vcpu", 2], -256],
        [["start", 0, 0], -269],
        [["vcpu", 0], 10],
        [["start", 0, 0], -22],
        [["image"], 101_620],
        [["start", 0, 0], 16],
        [["start", 0, 0], -270],
        [["vcpu", 0], -270],
        [["loadInfo", 1], -270],
        [["donate", 0, PAGE], -270],
        [["donate", 0, PAGE, 1], -274],
      ];
      const run = await launch(
        steps.map(([step]) => step),
        { enclave: { heartbeatMs: null } },
      );
      expect(run.results).toEqual(steps.map(([, expected]) => expected));
      expect(run.report.hugePages.leaked).toBe(1);
      // The image was written after the donation, which only a later check can detect.
      expect(run.report.lateWrites).toEqual([{ slot: 1, offset: 0, bytes: 32 * MIB, noticed: "start" }]);
    });

    test("emulated driver: refuses vCPUs without a pool or a free core", async () => {
      expect((await launch([["open"], ["create"]], { pool: "" })).results).toEqual([0, -272]);
      const steps: Step[] = [["open"], ["create"], ["vcpu", 0], ["vcpu", 0], ["vcpu", 0], ["create"]];
      expect((await launch(steps, { pool: "1,9" })).results).toEqual([0, 1, 1, 9, -272, -272]);
    });

    test("emulated driver: refuses too many regions, pages of another node and unmapped addresses", async () => {
      const steps: Step[] = [["open"], ["create"], ["map", 16], ["donateAll", 16], ["donateAll", 8]];
      expect((await launch(steps, { regionBytes: PAGE, maxRegions: 7 })).results).toEqual([0, 1, 0, -265, 0]);
      expect((await launch(steps, { foreignNodePage: 5 })).results).toEqual([0, 1, 0, -264, 0]);
      const gone: Step[] = [["open"], ["create"], ["map", 16], ["unmap", 16], ["donateAll", 16]];
      expect((await launch(gone)).results).toEqual([0, 1, 0, 0, -14]);
    });

    test("stand-in huge pages: mmap takes pages from the pool, and they return to it", async () => {
      const free = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
      const steps: Step[] = [
        ["readFile", free],
        ["map", 64],
        ["map", 64],
        ["readFile", free],
        ["map", 32, 30],
        ["map", 64, 16],
      ];
      const run = await launch(steps, { hugePages: 40 });
      expect(run.results).toEqual(["40\n", 0, -12, "8\n", -12, -19]);
      expect(run.report.hugePages).toEqual({ total: 40, free: 40, leaked: 0 });
      const script = [1, 2]
        .map(() => `'${process.execPath}' '${probe}' '${JSON.stringify([["map", 64]])}'`)
        .join("; ");
      const twice = await launch([], { hugePages: 40 }, { command: ["sh", "-c", script] });
      expect(twice.stdout).toBe("[0]\n[0]\n");
    });

    test("emulated hypervisor: a bad image is refused, runs or exits as the scenario says", async () => {
      const steps: Step[] = [...prepared, ["start", 0, 0], ["pollEnclave", 50]];
      const broken = steps.map((step): Step => (step[0] === "image" ? ["image", 100_000, true] : step));
      const enclave = { heartbeatMs: null };
      expect((await launch(broken, { enclave })).results.slice(8)).toEqual([-22, 0]);
      expect((await launch(broken, { enclave, badImage: "run" })).results.slice(8)).toEqual([16, 0]);
      expect((await launch(broken, { enclave, badImage: "exit" })).results.slice(8)).toEqual([16, 16]);
    });

    test("emulated hypervisor: chooses the first free CID, and refuses one that is in use", async () => {
      const enclave = { heartbeatMs: null };
      const scenario = { enclave, takenCids: [16, 40] };
      expect(
        (await launch([...prepared, ["start", 0, 40], ["start", 0, 0]], scenario)).results.slice(8),
      ).toEqual([-16, 17]);
    });

    test("emulated device: can be missing, has permissions, and fails with any errno", async () => {
      expect((await launch([["open"]], { device: false })).results).toEqual([-2]);
      expect((await launch([["open"]], {}, { user: "1000:1000" })).results).toEqual([-13]);
      expect((await launch([["open"]], { deviceGid: 990 }, { user: "1000:1000:990" })).results).toEqual([0]);
      const faults = [{ call: "openat:/dev/nitro_enclaves", errno: "EIO" }];
      expect((await launch([["open"]], { faults })).results).toEqual([-5]);
    });

    test("emulated heartbeat: reports wrong and missing answers, and comes from other CIDs", async () => {
      const steps: Step[] = [...prepared, ["start", 0, 0], ["answer", 1], ["pollEnclave", 1000]];
      const wrong = await launch(steps);
      expect(wrong.results.slice(8)).toEqual([16, 16, 16]);
      expect(wrong.report.heartbeats).toMatchObject([{ outcome: "wrong answer" }]);
      const notListening = [...prepared, ["start", 0, 0], ["pollEnclave", 1000]].filter(
        ([name]) => name !== "listen",
      ) as Step[];
      const refused = await launch(notListening);
      expect(refused.results.slice(7)).toEqual([16, 16]);
      expect(refused.report.heartbeats).toMatchObject([{ outcome: "refused" }]);
      const foreignHeartbeats = [{ cid: 77, byte: 0xb7, afterMs: 0 }];
      const met = await launch([...prepared, ["start", 0, 0], ["answer"], ["answer"]], {
        enclave: { foreignHeartbeats },
      });
      expect(met.results.slice(8)).toEqual([16, 77, 16]);
    });

    test("emulated vsock: accept returns at once, waits for a peer, or ends with a signal", async () => {
      const started: Step[] = [...prepared.filter(([name]) => name !== "listen"), ["start", 0, 0]];
      const enclave = { heartbeatMs: 150 };
      const withoutPeer = await launch([["listen", 9000], ["acceptAndAnswer"]]);
      expect(withoutPeer.results).toEqual([0, -11]);
      const waits = await launch([["listen", 9000, 3, true], ...started, ["acceptAndAnswer"]], { enclave });
      expect(waits.results.at(-1)).toBe(16);
      const signals = [{ afterMs: 50, signal: "SIGTERM" }];
      const ended = await launch([["listen", 9000, 3, true], ...started, ["acceptAndAnswer"]], {
        enclave: { heartbeatMs: null },
        signals,
      });
      expect(ended).toMatchObject({ signal: "SIGTERM" });
    });

    test("emulated vsock: a port has one owner, and another machine's address cannot be bound", async () => {
      const steps: Step[] = [
        ["listen", 9000],
        ["listen", 9000],
        ["listen", 9001, 2],
        ["listen", 9002],
        ["listen", 9003, 3],
      ];
      expect((await launch(steps, { takenPorts: [9002] })).results).toEqual([0, -98, -99, -98, 0]);
      expect((await launch([["listen", 9000]], { vsock: false })).results).toEqual([-97]);
    });

    test("emulated console: keeps all output for its first reader, and ends with the enclave", async () => {
      const enclave = { heartbeatMs: null, liveMs: 300, console: ["one"] };
      const steps: Step[] = [
        ...prepared,
        ["start", 1, 0],
        ["sleep", 100],
        ["openConsole"],
        ["readConsole", 4],
        ["closeConsole"],
      ];
      const run = await launch([...steps, ["openConsole"], ["readConsole", 100], ["openConsole"]], {
        enclave,
      });
      expect(run.results.slice(8)).toEqual([16, 0, 0, "one\n", 0, 0, "", -104]);
      expect(run.report.consoles).toEqual([{ cid: 16, produced: 4, delivered: 4 }]);
      const production = await launch([...prepared, ["start", 0, 0], ["openConsole"]], { enclave });
      expect(production.results.at(-1)).toBe(-104);
    });

    test("emulated console: a flood waits for its reader and loses nothing", async () => {
      const bytes = 20 * MIB + 5;
      const enclave = {
        heartbeatMs: null,
        consoleFloodBytes: bytes,
        liveMs: 3000,
        consoleStallAfterBytes: MIB,
        consoleStallMs: 50,
      };
      const steps: Step[] = [
        ...prepared,
        ["start", 1, 0],
        ["openConsole"],
        ["sleep", 200],
        ["readConsole", bytes],
      ];
      const run = await launch(steps, { enclave });
      const crc = Bun.hash.crc32(floodPattern(0, bytes));
      expect(run.results.at(-1)).toBe(`${bytes} bytes, CRC ${crc}`);
      expect(entriesOf(run, "console stalls")).toHaveLength(1);
    });

    test.skipIf(Bun.which("qemu-system-x86_64") === null)(
      "booted kernel: has a console and a heartbeat, and its exit ends the enclave",
      async () => {
        const steps = prepared.map((step): Step => (step[0] === "image" ? ["image", 0] : step));
        const rest: Step[] = [
          ["start", 1, 0],
          ["openConsole"],
          ["answer"],
          ["readConsole", 500],
          ["pollEnclave", 2000],
        ];
        const run = await launch([...steps, ...rest], { enclave: { kind: "boot" } });
        expect(run.results.slice(8)).toEqual([16, 0, 16, expect.stringContaining("Init: UP and away"), 16]);
        expect(run.report.processesLeft).toBe(0);
      },
      30_000,
    );

    test("faults: a call fails with any errno, at its nth time, or after a delay", async () => {
      const faults = [
        { call: "NE_ADD_VCPU", errno: 258, nth: 2 },
        { call: "memfd_create", errno: "ENFILE", nth: 1 },
        { call: "listen", errno: "EACCES" },
        { call: "NE_CREATE_VM", delayMs: 100 },
      ];
      const steps: Step[] = [
        ["open"],
        ["create"],
        ["vcpu", 0],
        ["vcpu", 0],
        ["vcpu", 0],
        ["map", 2],
        ["map", 2],
        ["listen", 1],
      ];
      const run = await launch(steps, { faults });
      expect(run.results).toEqual([0, 1, 1, -258, 9, -23, 0, -13]);
      const [{ tookMs } = {}] = entriesOf(run, "NE_CREATE_VM");
      expect(Number(tookMs)).toBeGreaterThanOrEqual(100);
    });

    test("signals: a signal at a call releases everything", async () => {
      const signals = [{ at: "enter NE_START_ENCLAVE", signal: "SIGKILL" }];
      const run = await launch([...prepared, ["start", 0, 0]], { signals, hugePages: 100 });
      expect(run).toMatchObject({ signal: "SIGKILL", parentStatus: 137 });
      expect(run.report).toMatchObject({ slotsLeft: 0, hugePages: { total: 100, free: 100, leaked: 0 } });
      const later = [{ afterMs: 100, signal: "SIGTERM" }];
      const ended = await launch([...prepared, ["start", 0, 0], ["sleep", 5000]], {
        signals: later,
        enclave: { heartbeatMs: null },
      });
      expect(ended).toMatchObject({ signal: "SIGTERM" });
      expect(entriesOf(ended, "slot freed")).toMatchObject([{ wasRunning: true }]);
    });

    test("emulated device: serves several launchers", async () => {
      const steps = JSON.stringify([["open"], ["create"], ["vcpu", 0], ["vcpu", 0], ["sleep", 200]]);
      const one = `'${process.execPath}' '${probe}' '${steps}'`;
      const run = await launch([], { pool: "1,2,9,10" }, { command: ["sh", "-c", `${one} & ${one} & wait`] });
      const lines = run.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as number[]);
      expect(lines.map((line) => line[2]).sort()).toEqual([1, 2]);
      expect(run.report.slotsLeft).toBe(0);
    });

    test("exit status: is the command's, that of the time limit, or the parent's own", async () => {
      expect((await launch([], {}, { command: ["sh", "-c", "exit 7"] })).status).toBe(7);
      expect((await launch([], {}, { command: ["sleep", "9"], limitSeconds: 0.3 })).parentStatus).toBe(124);
      expect((await launch([], {}, { command: ["/nonexistent"] })).status).toBe(127);
      const unknown = { bogus: 1 } as ScenarioInput;
      expect(launch([], unknown)).rejects.toThrow('unknown key "bogus"; known are badImage, checkWrites');
    });

    test("supervisor: SIGTERM stops the command as well", async () => {
      const command = probeCommand([...prepared, ["sleep", 20_000]]);
      const parent = startInParent({ command, scenario: { memory: "stand-in" } });
      await Bun.sleep(800);
      const pid = parent.commandPid() ?? 0;
      expect(readFileSync(`/proc/${pid}/cmdline`, "latin1")).toContain("probe.ts");
      parent.process.kill("SIGTERM");
      expect(await parent.finished()).toMatchObject({ parentStatus: 143 });
      expect(() => process.kill(pid, 0)).toThrow();
    });
  },
);

describe.skipIf(reason !== undefined)("network", () => {
  const script = `import os, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind(b"\\0nitro-parent-test")
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
print(os.readlink("/proc/self/ns/net"))
input()`;
  const command = ["python3", "-c", script];
  const machine = readlinkSync("/proc/self/ns/net");

  test("network: each command has its own abstract socket names and a loopback interface", async () => {
    const runs = [1, 2].map(() => startInParent({ command, stdin: "pipe", limitSeconds: 30 }));
    const readers = runs.map(({ process }) => process.stdout.getReader());
    const networks = await Promise.all(
      readers.map(async (reader) => new TextDecoder().decode((await reader.read()).value).trim()),
    );
    expect(new Set([...networks, machine]).size).toBe(3);
    expect(networks).toEqual([expect.stringMatching(/^net:\[/), expect.stringMatching(/^net:\[/)]);
    for (const { process } of runs) if (typeof process.stdin === "object") process.stdin.write("\n");
    for (const run of runs) expect((await run.finished()).status).toBe(0);
  });

  test("network: is the machine's if the scenario says so", async () => {
    const scenario: ScenarioInput = { network: "machine" };
    const { stdout } = await runInParent({ command: ["readlink", "/proc/self/ns/net"], scenario });
    expect(stdout.trim()).toBe(machine);
  });
});
