/** Launches at the same time: they share vsock port 9000, and each counts its own enclave's heartbeat. */
import { afterAll, describe, expect, test } from "bun:test";
import type { ScheduledSignal } from "../../emulated-parent/scenario.ts";
import {
  entries,
  expectNothingLeft,
  LIVE_MS,
  launchAs,
  lines,
  notHere,
  shellWords,
  Workplace,
} from "./nitro.ts";
import { type LaunchOutcome, outcomes, together } from "./together.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const HELD = "nitro: port 9000 is in use by another process; waiting for it, up to 30 s";
/** A launch of nitro holds the port. Some of its time-out, that of AWS's CLI, has passed on a busy machine. */
const heldByNitro = (seconds = "1[78]\\d", cid = 16) =>
  new RegExp(
    `^nitro: port 9000 is in use by nitro \\(pid \\d+, CID ${cid}\\); waiting for it, up to ${seconds} s$`,
  );
const linesLike = (text: string, pattern: RegExp) => lines(text).filter((line) => pattern.test(line));
const COUNTED: LaunchOutcome = { status: 0, counted: true };
const HANDOFF = "nitro-heartbeat-1";

/** A launch in production mode that requires its heartbeat. */
function required(...more: string[]): string[] {
  return here.production("-accel", "nitro,heartbeat=require,heartbeat-timeout=40", ...more);
}

function repeated<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

const four = repeated(4, required());

describe.skipIf(notHere !== undefined)("four launches", () => {
  const rounds = 50;

  test(`four launches: all start, ${rounds} times, and each counts its own heartbeat`, async () => {
    const result = await launchAs({
      command: together(here, four, { rounds }),
      scenario: { enclave: { heartbeatMs: 1 } },
      limitSeconds: 170,
    });
    expect(outcomes(result.stdout)).toEqual(repeated(4 * rounds, COUNTED));
    expect(result.report.heartbeats).toHaveLength(4 * rounds);
    expect(result.report.heartbeats.filter(({ outcome }) => outcome !== "answered")).toEqual([]);
    expect(lines(result.stderr).filter((line) => !/ enclave started: |SIGTERM/.test(line))).toEqual([]);
    expectNothingLeft(result);
  }, 180_000);
});

/** Moments at which a launcher is killed: its share of the port and of the handoff socket is closed with it. */
const MOMENTS = [
  "enter bind:vsock",
  "exit bind:vsock",
  "enter bind:other",
  "exit bind:other",
  "exit NE_CREATE_VM",
  "exit accept4:other",
  "exit NE_SET_USER_MEMORY_REGION",
  "enter NE_START_ENCLAVE",
  "exit NE_START_ENCLAVE",
];

describe.concurrent.skipIf(notHere !== undefined)("four launches, one stopped", () => {
  test.each(MOMENTS.flatMap((at) => [1, 3].map((nth) => [at, nth] as const)))(
    "four launches: SIGKILL to one at %s (%d) does not affect the others",
    async (at, nth) => {
      const signals: ScheduledSignal[] = [{ at, nth, signal: "SIGKILL" }];
      const result = await launchAs({
        command: together(here, four),
        scenario: { enclave: { heartbeatMs: 30 }, signals },
      });
      const all = outcomes(result.stdout);
      const killed = entries(result, "signal sent").length;
      expect(all.filter(({ status }) => status === 137)).toHaveLength(killed);
      expect(all.filter(({ status }) => status !== 137)).toEqual(repeated(4 - killed, COUNTED));
      expectNothingLeft(result);
    },
  );

  test("four launches: SIGKILL to each one whose enclave runs, except the last, does not affect the last", async () => {
    const signals = [1, 2, 3].map((nth) => ({ at: "exit NE_START_ENCLAVE", nth, signal: "SIGKILL" }));
    const result = await launchAs({
      command: together(here, four),
      scenario: { enclave: { heartbeatMs: 30 }, signals },
    });
    const all = outcomes(result.stdout).sort((a, b) => a.status - b.status);
    expect(all).toMatchObject([COUNTED, ...repeated(3, { status: 137 })]);
    expectNothingLeft(result);
  });

  test.each([
    ["enter accept4:vsock", 1],
    ["exit accept4:vsock", 2],
  ])(
    "four launches: SIGKILL to one that has another's unanswered heartbeat (%s) costs at most that enclave",
    async (at, nth) => {
      const signals: ScheduledSignal[] = [{ at, nth, signal: "SIGKILL" }];
      const result = await launchAs({
        command: together(here, four),
        scenario: { enclave: { heartbeatMs: 30 }, signals },
      });
      const rest = outcomes(result.stdout).filter(({ status }) => status !== 137);
      expect(rest).toHaveLength(3);
      expect(rest.filter(({ status, counted }) => status !== 0 || !counted).length).toBeLessThan(2);
      expectNothingLeft(result);
    },
  );

  test.each([...MOMENTS, "exit accept4:vsock"])(
    "four launches: SIGTERM to one at %s does not affect the others",
    async (at) => {
      const signals: ScheduledSignal[] = [{ at, nth: 2, signal: "SIGTERM" }];
      const result = await launchAs({
        command: together(here, four),
        scenario: { enclave: { heartbeatMs: 30 }, signals },
      });
      const all = outcomes(result.stdout);
      expect(all.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
      expect(all.filter(({ counted }) => !counted).length).toBeLessThan(2);
      expect(result.report.heartbeats.filter(({ outcome }) => outcome === "no answer").length).toBeLessThan(
        2,
      );
      expectNothingLeft(result);
    },
  );
});

/** A Python process of the parent instance that is not nitro; it creates the file `there` when it is ready. */
function python(...code: string[]): string {
  const head = ["import os, socket, sys, time", "def there(): open('there', 'w').close()"];
  return `python3 -c ${shellWords([[...head, ...code].join("\n")])} & other=$!; until [ -e there ]; do sleep 0.02; done`;
}

const UNIX = "socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)";
const OTHER_UID = "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)";
const VSOCK_PORT = [
  "port = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
  "port.bind((socket.VMADDR_CID_ANY, 9000)); port.listen()",
];

describe.concurrent.skipIf(notHere !== undefined)("other processes", () => {
  const brief = { enclave: { heartbeatMs: 30 } };

  test("handoff: a process with the socket's name that passes other descriptors does not affect a launch", async () => {
    const squatter = python(
      OTHER_UID,
      `handoff = ${UNIX}; handoff.bind("\\0${HANDOFF}"); handoff.listen(); there()`,
      `false = ${UNIX}; false.bind("\\0${HANDOFF}-0"); false.listen(); inbox, gift = socket.socketpair()`,
      "while True:",
      "  caller, _ = handoff.accept()",
      "  try: socket.send_fds(caller, [b'x'], [gift.fileno()] * 4)",
      "  except OSError: pass",
    );
    const result = await launchAs({
      command: together(here, four, { before: squatter, rounds: 2 }),
      scenario: brief,
    });
    expect(outcomes(result.stdout)).toEqual(repeated(8, COUNTED));
  });

  test("handoff: clients that connect without end, send data or stay silent do not affect a launch", async () => {
    const clients = python(
      "held = []",
      // One is another user. The other is root and is served; it must exit, for its duplicates would keep the port bound.
      "untrusted = os.fork()",
      "if untrusted: OTHER_UID".replace("OTHER_UID", OTHER_UID),
      "there()",
      "while True:",
      `  caller = ${UNIX}; caller.setblocking(False)`,
      "  try:",
      `    caller.connect("\\0${HANDOFF}")`,
      "    caller.send(b'x' * 1000)",
      "    held = [caller, *held[:100]] if untrusted else []",
      "  except OSError: time.sleep(0.001)",
    );
    const result = await launchAs({
      command: together(here, four, { before: clients, rounds: 2 }),
      scenario: { ...brief, takenPorts: [] },
    });
    expect(outcomes(result.stdout)).toEqual(repeated(8, COUNTED));
  });

  test("silent connections: those of unprivileged users do not keep the heartbeat out", async () => {
    const attacker = python(
      "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (1500, 1500))",
      OTHER_UID,
      "os.fork(); os.fork(); held = []; there()",
      "while True:",
      "  caller = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); caller.setblocking(False)",
      "  try: caller.connect((3, 9000))",
      "  except BlockingIOError: held = [caller, *held[:999]]",
    );
    // The launcher does not run while the heartbeat comes: the queue of connections must have room for it.
    const signals: ScheduledSignal[] = [{ at: "exit NE_START_ENCLAVE", nth: 1, signal: "SIGSTOP" }];
    const meanwhile =
      "until grep -q '^State:.T' /proc/$p0/status; do sleep 0.02; done; sleep 0.4; kill -CONT $p0";
    const result = await launchAs({
      command: together(here, [required()], { before: attacker, meanwhile }),
      scenario: { enclave: { heartbeatMs: 200 }, signals },
    });
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: 0xb7, outcome: "answered" }]);
    expect(outcomes(result.stdout)).toEqual([COUNTED]);
  });

  test("port 9000: a process that holds it is waited for; when it releases the port, all four launches start", async () => {
    const holder = python(...VSOCK_PORT, "there(); time.sleep(2)");
    const result = await launchAs({ command: together(here, four, { before: holder }), scenario: brief });
    expect(outcomes(result.stdout)).toEqual(repeated(4, COUNTED));
    expect(lines(result.stderr).filter((line) => line === HELD)).toHaveLength(4);
    expectNothingLeft(result);
  });

  test("foreign heartbeats: are answered and reported once, and count for no launch", async () => {
    const foreignHeartbeats = [{ cid: 77, byte: 0xb7, afterMs: 100 }];
    const result = await launchAs({
      command: together(here, four),
      scenario: { enclave: { heartbeatMs: 600 }, enclaves: [{ foreignHeartbeats }] },
    });
    expect(outcomes(result.stdout)).toEqual(repeated(4, COUNTED));
    expect(result.report.heartbeats.map(({ outcome }) => outcome)).toEqual(repeated(5, "answered"));
    const message = lines(result.stderr).filter((line) => line.includes("heartbeat from CID"));
    expect(message).toHaveLength(1);
    expect(message[0]).toContain("heartbeat from CID 77 answered, but not counted: this enclave has CID");
    expectNothingLeft(result);
  });

  test("foreign heartbeats: do not replace the enclave's own if it is required", async () => {
    const enclave = { heartbeatMs: null, foreignHeartbeats: [{ cid: 77, byte: 0xb7, afterMs: 50 }] };
    const args = here.production("-accel", "nitro,heartbeat=require,heartbeat-timeout=1");
    const result = await launchAs({ command: together(here, [args, args]), scenario: { enclave } });
    expect(result.report.heartbeats.map(({ outcome }) => outcome)).toEqual(repeated(2, "answered"));
    expect(result.stderr).toContain("no heartbeat within 1 s; stopping the enclave (heartbeat=require)");
    expect(outcomes(result.stdout)).toEqual(repeated(2, { status: 3, counted: false }));
  });
});

/** An enclave that never sends a heartbeat, so its launcher keeps the port; the others send one. */
const keeper = {
  enclaves: [{ heartbeatMs: null, liveMs: null }],
  enclave: { heartbeatMs: 30, liveMs: LIVE_MS },
};

/** A script that starts a second launch when the first one has printed `ready`; it prints both exit statuses. */
function afterFirst(first: readonly string[], next: string, ready = "enclave started"): string[] {
  const errors = shellWords([here.path(`errors-${crypto.randomUUID()}`)]);
  const script = [
    `${shellWords(first)} 2> ${errors} & first=$!`,
    `until grep -qs ${shellWords([ready])} ${errors}; do sleep 0.02; done`,
    `${next}; echo $?`,
    "kill $first; wait $first; echo $?",
    `cat ${errors} >&2`,
  ];
  return ["sh", "-c", script.join("\n")];
}

/** A script that starts a launch, and stops it when it has reported that it waits for the port. */
function untilItWaits(command: string): string {
  const errors = shellWords([here.path(`waits-${crypto.randomUUID()}`)]);
  return [
    `${command} 2> ${errors} & waiting=$!`,
    `until grep -qs 'is in use by' ${errors}; do sleep 0.02; done`,
    `kill $waiting; wait $waiting; cat ${errors} >&2; echo stopped`,
  ].join("\n");
}

describe.concurrent.skipIf(notHere !== undefined)("shared port", () => {
  const next = shellWords(required());

  test.each([
    [""],
    ["-sandbox on"],
    ["-run-with user=65534:65534"],
    [`-run-with user=65534:65534,chroot=${here.directory} -sandbox on`],
  ])("shared port (%s): a launch starts and counts its heartbeat", async (args) => {
    const first = here.production(...args.split(" ").filter((word) => word !== ""));
    const result = await launchAs({ command: afterFirst(first, next), scenario: keeper });
    expect(result.stdout).toBe("5\n0\n");
    expect(result.stderr).not.toContain(HELD);
    expect(result.report.heartbeats).toEqual([{ cid: 17, byte: 0xb7, outcome: "answered" }]);
    expectNothingLeft(result);
  });

  test("shared port: further launches do not increase the holder's number of descriptors", async () => {
    const count = "ls /proc/$first/fd | wc -l";
    const many = `${next}; ${count}; for i in 1 2 3 4; do ${next}; done; ${count}`;
    const result = await launchAs({ command: afterFirst(here.production(), many), scenario: keeper });
    const [after1, after5, ...statuses] = lines(result.stdout);
    expect([after5, ...statuses]).toEqual([after1 ?? "", "0", "0"]);
    expect(result.report.heartbeats.map(({ outcome }) => outcome)).toEqual(repeated(5, "answered"));
    expectNothingLeft(result);
  });

  test("shared port: a daemon starts and counts its heartbeat", async () => {
    const first = here.production("-daemonize", "-pidfile", here.path("daemon"));
    const script = `${shellWords(first)} && ${next}; echo $?; kill $(cat ${here.path("daemon")}); sleep 0.2`;
    const result = await launchAs({ command: ["sh", "-c", script], scenario: keeper });
    expect(result.stdout).toBe("5\n");
    expect(result.stderr).not.toContain(HELD);
    expectNothingLeft(result);
  });

  test("shared port: 20001 names of its handoff socket of another user do not keep a launch from starting", async () => {
    const squatter = python(
      "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000))",
      OTHER_UID,
      `first = ${UNIX}; first.bind("\\0${HANDOFF}"); first.listen()`,
      "ready, part = os.pipe(), 0",
      "while part < 3 and os.fork(): part += 1",
      "for i in range(5000):",
      `  one = ${UNIX}; one.bind(f"\\0${HANDOFF}-{part}-{i}"); one.listen(); os.dup(one.fileno())`,
      "os.write(ready[1], b'x')",
      "if part == 3:",
      "  for _ in range(4): os.read(ready[0], 1)",
      "  there()",
      "time.sleep(1000)",
    );
    const directory = here.path(`names-${crypto.randomUUID()}`);
    const keeping = `mkdir -m 777 ${directory}; cd ${directory}; ${squatter}; exec ${shellWords(here.production())}`;
    const command = afterFirst(["sh", "-c", keeping], next);
    const result = await launchAs({ command, scenario: keeper });
    expect(result.stdout).toBe("5\n0\n");
    expect(result.stderr).not.toContain("is in use by");
  });

  test("shared port: a launch that is held before its start (-S) starts and counts its heartbeat", async () => {
    const first = here.production(
      "-S",
      "-serial",
      "none",
      "-qmp",
      `unix:${here.path("q")},server=on,wait=off`,
    );
    const wait = `until [ -S ${here.path("q")} ]; do sleep 0.02; done; sleep 0.3`;
    const script = `${shellWords(first)} & ${wait}; ${next}; echo $?; kill $!; wait $!; echo $?`;
    const command = ["sh", "-c", script];
    const result = await launchAs({ command, scenario: { enclave: keeper.enclave } });
    expect(result.stdout).toBe("5\n0\n");
    expect(result.stderr).toContain("SIGTERM: stopped before the enclave was started");
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: 0xb7, outcome: "answered" }]);
    expectNothingLeft(result);
  });

  test("port in another network namespace: a launch waits up to the holder's time-out", async () => {
    const waits = untilItWaits(`unshare -n ${next}`);
    const result = await launchAs({ command: afterFirst(here.production(), waits), scenario: keeper });
    expect(linesLike(result.stderr, heldByNitro())).toHaveLength(1);
    expect(entries(result, "NE_CREATE_VM")).toHaveLength(1);
    expect(result.stdout).toBe("stopped\n0\n0\n");
    expectNothingLeft(result);
  });

  test("port in another network and pid namespace: a launch, which sees no holder, waits 30 s", async () => {
    const waits = untilItWaits(`unshare -n -p -f --kill-child --mount-proc ${next}`);
    const result = await launchAs({ command: afterFirst(here.production(), waits), scenario: keeper });
    expect(lines(result.stderr)).toContain(HELD);
    expect(result.stdout).toBe("stopped\n0\n0\n");
  });

  test("port in another network namespace: a launch starts when the holder's heartbeat has come", async () => {
    const waits = `unshare -n ${next}`;
    const enclaves = [
      { heartbeatMs: 3000, liveMs: null },
      { heartbeatMs: 1, liveMs: LIVE_MS },
    ];
    const result = await launchAs({
      command: afterFirst(here.production(), waits),
      scenario: { enclaves },
    });
    expect(linesLike(result.stderr, heldByNitro())).toHaveLength(1);
    expect(result.stdout).toBe("5\n0\n");
    expect(result.report.heartbeats).toEqual([
      { cid: 16, byte: 0xb7, outcome: "answered" },
      { cid: 17, byte: 0xb7, outcome: "answered" },
    ]);
    expectNothingLeft(result);
  });

  test("port in another network namespace: a launch starts when the holder's time-out has passed", async () => {
    const first = here.production("-accel", "nitro,heartbeat-timeout=4");
    const waits = `unshare -n ${next}`;
    const result = await launchAs({ command: afterFirst(first, waits), scenario: keeper });
    expect(linesLike(result.stderr, heldByNitro("[1-4]"))).toHaveLength(1);
    expect(result.stderr).toContain("no heartbeat within 4 s; no longer waiting, the enclave keeps running");
    expect(result.stdout).toBe("5\n0\n");
    expectNothingLeft(result);
  });

  test("port in another network namespace: a launch gives up after heartbeat-wait=, and names the holder", async () => {
    const waits = `unshare -n ${shellWords(here.production("-accel", "nitro,heartbeat-wait=1"))}`;
    const result = await launchAs({ command: afterFirst(here.production(), waits), scenario: keeper });
    expect(linesLike(result.stderr, heldByNitro("1"))).toHaveLength(1);
    expect(result.stderr).toMatch(
      /\nnitro: heartbeat: after 1 s: vsock port 9000 is in use by nitro \(pid \d+, CID 16\), of another user or in /,
    );
    expect(result.stderr).toMatch(/\nhint: .*heartbeat-wait=SECONDS/);
    expect(result.stderr).not.toMatch(/\bkill\b/);
    expect(result.stdout).toBe("1\n0\n");
    expectNothingLeft(result);
  });

  test("port of another user: a launch does not trust it and waits", async () => {
    const waits = untilItWaits(next);
    const first = ["setpriv", "--reuid=65534", "--clear-groups", ...here.production()];
    const scenario = { ...keeper, deviceMode: "0666" };
    const result = await launchAs({ command: afterFirst(first, waits), scenario });
    expect(linesLike(result.stderr, heldByNitro())).toHaveLength(1);
    expect(result.stdout).toBe("stopped\n0\n0\n");
  });

  test("port of root: a launch of root starts, and one of another user waits", async () => {
    const waits = `${untilItWaits(`setpriv --reuid=65534 --clear-groups ${next}`)}; ${next}`;
    const scenario = { ...keeper, deviceMode: "0666" };
    const result = await launchAs({ command: afterFirst(here.production(), waits), scenario });
    expect(linesLike(result.stderr, heldByNitro())).toHaveLength(1);
    expect(result.stdout).toBe("stopped\n5\n0\n");
  });

  test("shared port: a launch suspended at its enclave's start counts its heartbeat, and reports no other CID", async () => {
    const signals: ScheduledSignal[] = [{ at: "exit NE_START_ENCLAVE", nth: 2, signal: "SIGSTOP" }];
    const args = shellWords(here.production("-accel", "nitro,heartbeat=require,heartbeat-timeout=1"));
    const stands = [
      `${args} & second=$!; until grep -q '^State:.T' /proc/$second/status; do sleep 0.02; done`,
      "sleep 1.5; kill -CONT $second; wait $second",
    ].join("\n");
    const enclaves = [{ heartbeatMs: null }, { heartbeatMs: 1, liveMs: 3_000 }];
    const result = await launchAs({
      command: afterFirst(here.production(), stands),
      scenario: { enclaves, signals },
    });
    expect(result.stdout).toBe("5\n0\n");
    expect(result.report.heartbeats).toEqual([{ cid: 17, byte: 0xb7, outcome: "answered" }]);
    expect(result.stderr).not.toContain("heartbeat: ");
    expectNothingLeft(result);
  });

  test("shared port: a launch reports that it waits for a suspended holder", async () => {
    const first = here.production();
    const waits = `kill -STOP $first; timeout 3 ${next}; echo $?; kill -CONT $first; ${next}`;
    const result = await launchAs({ command: afterFirst(first, waits), scenario: keeper });
    expect(result.stderr).toMatch(
      /^nitro: port 9000 is in use by nitro \(pid \d+, CID 16\), which does not reply; waiting for it, up to 150 s$/m,
    );
    expect(result.stdout).toBe("124\n5\n0\n");
    expectNothingLeft(result);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("holder after its heartbeat", () => {
  test("shared port: a launcher whose heartbeat has come is not woken by further launches", async () => {
    const trace = here.path(`trace-${crypto.randomUUID()}`);
    const first = shellWords(here.production("-d", "vsock", "-D", trace));
    const script = [
      `${first} & first=$!; until grep -qs "received from the enclave" ${trace}; do sleep 0.02; done`,
      "switches() { grep ^voluntary /proc/$first/status; }",
      // It is idle once the count has not changed for a second, however busy the machine is.
      'same=0; until [ $same = 10 ]; do before=$(switches); sleep 0.1; [ "$before" = "$(switches)" ] && same=$((same + 1)) || same=0; done',
      `for i in 1 2 3; do ${shellWords(required())}; echo $?; done`,
      '[ "$before" = "$(switches)" ] && echo asleep; kill $first; wait $first; echo $?',
    ].join("\n");
    const enclave = { heartbeatMs: 30, liveMs: LIVE_MS };
    const scenario = { enclave, enclaves: [{ heartbeatMs: 1, liveMs: null }] };
    const result = await launchAs({ command: ["sh", "-c", script], scenario });
    expect(lines(result.stdout)).toEqual(["5", "5", "5", "asleep", "0"]);
    expectNothingLeft(result);
  });
});

describe.skipIf(notHere !== undefined)("five launches", () => {
  test("five launches: one fails with the driver's reason, and the others start", async () => {
    const result = await launchAs({
      command: together(here, repeated(5, required())),
      scenario: { enclave: { heartbeatMs: 30 }, cpus: 32, pool: "1-8,17-24" },
    });
    const all = outcomes(result.stdout).sort((a, b) => a.status - b.status);
    expect(all).toEqual([...repeated(4, COUNTED), { status: 1, counted: false }]);
    const message = lines(result.stderr).filter((line) => line.includes("failed with"));
    expect(message).toHaveLength(1);
    expect(message[0]).toContain(
      "(EBUSY): the hypervisor has no slot for another enclave; at most four run on a parent instance at a time",
    );
    expectNothingLeft(result);
  });

  test("five launches: those that find no core in the pool fail with that reason", async () => {
    const result = await launchAs({
      command: together(here, repeated(4, required())),
      scenario: { enclave: { heartbeatMs: 30 }, pool: "1-2,9-10" },
    });
    const all = outcomes(result.stdout).sort((a, b) => a.status - b.status);
    expect(all).toEqual([...repeated(2, COUNTED), ...repeated(2, { status: 1, counted: false })]);
    const message = lines(result.stderr).filter((line) => line.includes("failed with"));
    expect(message).toHaveLength(2);
    for (const line of message) expect(line).toContain("NO_CPUS_AVAIL_IN_POOL");
    expectNothingLeft(result);
  });
});
