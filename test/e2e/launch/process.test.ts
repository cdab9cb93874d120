/** Options about the launcher's process: -daemonize, -pidfile, -run-with, -sandbox, -S, -no-shutdown, -name, -msg. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { MonitorClient } from "../monitor/client.ts";
import {
  CAUSE_UNKNOWN,
  entries,
  exitLine,
  expectNothingLeft,
  launch,
  launchAs,
  lines,
  notHere,
  shellWords,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const up = { enclave: { console: ["up"], heartbeatMs: 1 } };
const brief = { enclave: { console: ["up"], heartbeatMs: 1, liveMs: 100 } };
const shell = (script: string) => ["sh", "-c", script];

/** A script that launches in the background, inspects the daemon, stops it and waits until it has exited. */
function daemonScript(args: readonly string[], pidFile: string, inspect: string): string {
  return (
    `${shellWords(args)}; echo status $?; P=$(cat ${pidFile}); ${inspect}; ` +
    // It stays as a zombie until its parent waits for it.
    "kill $P; while grep -qs '^State:.[^Z]' /proc/$P/status; do sleep 0.02; done"
  );
}

const threadsOf = (fields: string) =>
  `cat /proc/$P/task/*/status | grep -E '^(${fields}):' | tr '\\t' ' ' | sort -u`;

describe.skipIf(notHere !== undefined)("-daemonize", () => {
  test("-daemonize: returns once the enclave has started; the daemon has its own session, streams and directory", async () => {
    const pidFile = here.path("daemon.pid");
    const args = here.debug("-daemonize", "-pidfile", pidFile, "-serial", `file:${here.path("daemon.con")}`);
    const inspect = [
      "readlink /proc/$P/cwd /proc/$P/fd/0 /proc/$P/fd/1 /proc/$P/fd/2",
      "cat /proc/$P/comm",
      'test $(cut -d" " -f6 /proc/$P/stat) = $P && echo leads its session',
      `until grep -qs up ${here.path("daemon.con")}; do sleep 0.02; done`,
      `flock -n ${pidFile} true || echo locked`,
    ].join("; ");
    const result = await launch(shell(daemonScript(args, pidFile, inspect)), up);
    expect(lines(result.stdout)).toEqual([
      "status 0",
      "/",
      "/dev/null",
      "/dev/null",
      "/dev/null",
      "nitro",
      "leads its session",
      "locked",
    ]);
    expect(lines(result.stderr)).toHaveLength(1);
    expect(result.stderr).toStartWith("nitro: enclave started: CID 16, ");
    expect(statSync(here.path("daemon.con")).mode & 0o777).toBe(0o640);
    expect(existsSync(pidFile)).toBe(false);
    expectNothingLeft(result);
  });

  test("-daemonize: a failed launch returns its status and prints its message", async () => {
    const result = await launch(here.production("-daemonize"), { pool: "" });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("NE_ERR_NO_CPUS_AVAIL_IN_POOL (272)");
    expect(result.stderr).toContain("hint: ");
    expectNothingLeft(result);
  });

  test("-daemonize: reports an error in the command line once", async () => {
    const result = await launch(here.production("-daemonize", "-serial", "stdio"));
    expect(result.status).toBe(1);
    expect(lines(result.stderr)[0]).toBe("nitro: -serial stdio: cannot use stdio with -daemonize");
    expect(result.stderr.match(/cannot use/g)).toHaveLength(1);
  });

  test("-daemonize: passes a signal on while it waits for the start, and fails", async () => {
    const scenario = { faults: [{ call: "NE_ADD_VCPU", delayMs: 1500 }] };
    const run = startLaunch({ command: here.production("-daemonize"), scenario });
    await Bun.sleep(700);
    run.kill("SIGTERM");
    const result = await run.finished();
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("stopped before the enclave was started");
    expectNothingLeft(result);
  });

  test("-daemonize with -D: the file receives the messages of the daemon after the start", async () => {
    const pidFile = here.path("log.pid");
    const args = here.production("-daemonize", "-pidfile", pidFile, "-D", here.path("log"));
    const result = await launch(shell(daemonScript(args, pidFile, "true")), up);
    expect(here.text("log")).toContain("nitro: SIGTERM: stopping the enclave\n");
    expect(result.stderr).not.toContain("stopping");
  });

  test.each([
    ["without -daemonize", ["--daemon-status-fd=1"]],
    ["for a descriptor that is no pipe", ["--daemon-status-fd=0", "-daemonize"]],
    ["for a descriptor that is not open", ["--daemon-status-fd=77", "-daemonize"]],
    ["without a descriptor", ["--daemon-status-fd=", "-daemonize"]],
  ])("--daemon-status-fd: is refused %s", async (_, args) => {
    const [nitro = "", ...rest] = here.production();
    const result = await launch([nitro, ...args, ...rest]);
    expect(result.status).toBe(1);
    expect(result.stderr).toBe(`nitro: ${args[0]}: invalid option\n`);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
  });
});

describe.skipIf(notHere !== undefined)("-run-with", () => {
  const asUser = async (user: string, ...more: string[]) => {
    const pidFile = here.path("user.pid");
    const args = here.debug("-daemonize", "-pidfile", pidFile, "-run-with", `user=${user}`, ...more);
    return await launch(shell(daemonScript(args, pidFile, threadsOf("Uid|Gid|Groups|CapEff|CapPrm"))), up);
  };
  const none = "0000000000000000";

  test.each(["nobody", "65534"])(
    "-run-with user=%s: every thread has that user, its group and no capability",
    async (user) => {
      const result = await asUser(user);
      const ids = (name: string) => `${name}: 65534 65534 65534 65534`;
      const message = lines(result.stdout).map((line) => line.trim());
      expect(message).toEqual([
        "status 0",
        `CapEff: ${none}`,
        `CapPrm: ${none}`,
        ids("Gid"),
        "Groups: 65534",
        ids("Uid"),
      ]);
      expectNothingLeft(result);
    },
  );

  test("-run-with user=UID:GID: needs no entry in /etc/passwd", async () => {
    const result = await asUser("12345:54321");
    expect(result.stdout).toContain("Uid: 12345 12345 12345 12345\n");
    expect(result.stdout).toContain("Groups: 54321 \n");
  });

  test("-run-with user=NAME: refuses an unknown user before the first call of the driver", async () => {
    const result = await launch(here.production("-run-with", "user=no-such-user"));
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`User "no-such-user" doesn't exist (and is not <uid>:<gid>)`);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
  });

  test("-run-with user=UID:GID: stops the started enclave if the process may not change its user", async () => {
    const scenario = { deviceMode: "0666" };
    const result = await launchAs({
      command: here.production("-run-with", "user=1:1"),
      scenario,
      user: "1000:1000",
    });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(
      "-run-with user=1:1: cannot change the user (setgroups: Operation not permitted",
    );
    expectNothingLeft(result);
  });

  test("-run-with chroot=DIR: is the daemon's root; the pid file outside of it is truncated at the end", async () => {
    mkdirSync(here.path("jail"));
    const pidFile = here.path("jail.pid");
    const args = here.debug(
      "-daemonize",
      "-pidfile",
      pidFile,
      "-run-with",
      `chroot=${here.path("jail")},user=1:1`,
    );
    const result = await launch(
      shell(daemonScript(args, pidFile, "readlink /proc/$P/root /proc/$P/cwd")),
      up,
    );
    expect(result.stdout).toBe(`status 0\n${here.path("jail")}\n${here.path("jail")}\n`);
    expect(readFileSync(pidFile, "utf8")).toBe("");
    expectNothingLeft(result);
  });

  test("-run-with chroot=DIR: refuses a missing directory before the enclave is created", async () => {
    const result = await launch(here.production("-run-with", "chroot=/no/such"));
    expect(result.stderr).toStartWith(
      "nitro: -run-with chroot=/no/such: No such file or directory (ENOENT)\n",
    );
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
  });

  test("-run-with exit-with-parent=on: stops the enclave when the parent process exits", async () => {
    const args = shellWords(here.production("-run-with", "exit-with-parent=on"));
    const script = `sh -c '"$@" & sleep 1; kill -9 $$' sh ${args}; sleep 1`;
    const result = await launch(shell(script), up);
    expect(result.stderr).toContain("nitro: SIGTERM: stopping the enclave\n");
    expectNothingLeft(result);
  });
});

describe.skipIf(notHere !== undefined)("-sandbox on", () => {
  test("-sandbox on: applies to every thread", async () => {
    const pidFile = here.path("box.pid");
    const args = here.debug("-daemonize", "-sandbox", "on", "-pidfile", pidFile);
    const fields = threadsOf("NoNewPrivs|Seccomp");
    const result = await launch(shell(daemonScript(args, pidFile, fields)), up);
    expect(result.stdout).toBe("status 0\nNoNewPrivs: 1\nSeccomp: 2\n");
    expect(existsSync(pidFile)).toBe(false);
    expectNothingLeft(result);
  });

  test("-sandbox on: permits a flood of console output, the heartbeat and the enclave's exit", async () => {
    const bytes = 64 * 2 ** 20;
    const enclave = { consoleFloodBytes: bytes, heartbeatMs: 1, liveMs: 8000 };
    const result = await launch(here.debug("-sandbox", "on", "-serial", `file:${here.path("flood")}`), {
      enclave,
    });
    expect(result.status).toBe(5);
    expect(statSync(here.path("flood")).size).toBe(bytes);
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: 0xb7, outcome: "answered" }]);
    expectNothingLeft(result);
  });

  test("-sandbox on: permits a late connection to the console, and a signal that stops the enclave", async () => {
    const scenario = { enclave: { console: ["up"], heartbeatMs: 1, consoleDelayMs: 500 } };
    const run = startLaunch({ command: here.debug("-sandbox", "on"), scenario });
    await Bun.sleep(2000);
    run.kill("SIGTERM");
    const result = await run.finished();
    expect(result.status).toBe(0);
    expect(result.stdout).toBe("up\n");
    expectNothingLeft(result);
  });
});

describe.skipIf(notHere !== undefined)("-S and -no-shutdown", () => {
  test("-S: prepares the enclave without starting it, and exits on a signal", async () => {
    const run = startLaunch({ command: here.debug("-S"), scenario: up });
    await Bun.sleep(1000);
    run.kill("SIGTERM");
    const result = await run.finished();
    expect(result.status).toBe(0);
    expect(entries(result, "NE_ADD_VCPU")).toHaveLength(2);
    expect(entries(result, "NE_START_ENCLAVE")).toEqual([]);
    expect(result.stderr).toBe("nitro: SIGTERM: stopped before the enclave was started\n");
    expectNothingLeft(result);
  });

  test("-no-shutdown: releases an exited enclave, keeps running, and exits on a signal", async () => {
    const run = startLaunch({ command: here.debug("-no-shutdown"), scenario: brief });
    await Bun.sleep(1500);
    run.kill("SIGTERM");
    const result = await run.finished();
    expect(result.status).toBe(0);
    expect(lines(result.stderr)[1]).toMatch(
      exitLine(`${CAUSE_UNKNOWN.debug}; nitro keeps running (-no-shutdown)`),
    );
    const [freed, ended] = ["slot freed", "command ended"].map((what) => entries(result, what)[0]?.t ?? 0);
    expect((ended ?? 0) - (freed ?? 0)).toBeGreaterThan(500);
    expectNothingLeft(result);
  });
});

test.skipIf(notHere !== undefined)(
  "process options together: a daemon of another user in its sandbox is started by a monitor",
  async () => {
    const args = here.debug(
      ...[
        "-daemonize",
        "-S",
        "-no-shutdown",
        "-sandbox",
        "on",
        "-run-with",
        "user=nobody",
        "-pidfile",
        "all.pid",
      ],
      ...["-name", "guest=web,process=web-enclave", "-uuid", "12345678-1234-1234-1234-123456789abc"],
      ...["-D", "all.log", "-msg", "timestamp=on,guest-name=on", "-serial", "file:all.con"],
      ...["-qmp", "unix:all.sock,server=on,wait=off"],
    );
    const script =
      `${shellWords(args)}; echo status $?; P=$(cat all.pid); ` +
      "while grep -qs '^State:.[^Z]' /proc/$P/status; do sleep 0.02; done";
    const run = startLaunch({ command: shell(script), cwd: here.directory, scenario: brief });
    const client = await MonitorClient.connect(here.path("all.sock"));
    const execute = async (command: string, parameters: object = {}) => {
      client.send(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
      return JSON.parse((await client.until(/"(return|error)": .*\r\n/)).trim().split("\r\n").at(-1) ?? "");
    };
    await client.until(/"QMP".*\r\n/);
    await execute("qmp_capabilities");
    expect(await execute("query-status")).toEqual({ return: { status: "prelaunch", running: false } });
    const pid = Number(here.text("all.pid"));
    const fields = (name: string) =>
      new Set(
        readdirSync(`/proc/${pid}/task`).map((thread) => {
          const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
          return new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1];
        }),
      );
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("web-enclave\n");
    // The process has changed its user and entered the sandbox before the enclave starts.
    expect([fields("Uid"), fields("Seccomp")]).toEqual([
      new Set(["65534\t65534\t65534\t65534"]),
      new Set(["2"]),
    ]);
    expect(await execute("cont")).toEqual({ return: {} });
    await client.until(/"event": "SHUTDOWN".*\r\n/);
    expect(await execute("query-status")).toEqual({ return: { status: "shutdown", running: false } });
    expect(await execute("query-name")).toEqual({ return: { name: "web" } });
    expect(await execute("query-uuid")).toEqual({ return: { UUID: "12345678-1234-1234-1234-123456789abc" } });
    const file = { id: "f", backend: { type: "file", data: { out: here.path("more") } } };
    expect((await execute("chardev-add", file)).error.desc).toEndWith("Operation not permitted");
    expect(await execute("quit")).toEqual({ return: {} });
    const result = await run.finished();
    client.close();
    expect(result.stdout).toBe("status 0\n");
    expect(here.text("all.con")).toBe("up\n");
    for (const line of lines(here.text("all.log")))
      expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z web nitro: /);
    // This user may not remove the files from root's directory.
    expect([here.text("all.pid"), existsSync(here.path("all.sock"))]).toEqual(["", true]);
    expectNothingLeft(result);
  },
);

describe.skipIf(notHere !== undefined)("-name, -msg, -readconfig, -object", () => {
  test("-name process=NAME: is the name of the process", async () => {
    const pidFile = here.path("name.pid");
    const args = here.debug("-daemonize", "-name", "guest=web,process=web-enclave", "-pidfile", pidFile);
    const result = await launch(shell(daemonScript(args, pidFile, "cat /proc/$P/comm")), up);
    expect(result.stdout).toBe("status 0\nweb-enclave\n");
    expect(result.stderr).toStartWith("nitro: enclave web started: ");
  });

  test("-msg: puts the time and the enclave's name before each message, errors included", async () => {
    const args = ["-msg", "timestamp=on,guest-name=on", "-name", "web"];
    const good = await launch(here.debug(...args), brief);
    for (const line of lines(good.stderr)) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z web nitro: /);
    const bad = await launch(here.debug(...args), { device: false });
    expect(bad.stderr).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z web nitro: \/dev\/nitro_enclaves: /);
  });

  test("-readconfig: launches with the options of a file", async () => {
    const text =
      `[machine]\n  kernel = "${here.eif}"\n  memory-backend = "m"\n[object "m"]\n  qom-type = "memory-backend-memfd"\n` +
      '  size = "66M"\n[accel]\n  accel = "nitro"\n  enclave-cid = "33"\n[smp-opts]\n  cpus = "4"\n';
    const [nitro = ""] = here.debug();
    const result = await launch([nitro, "-readconfig", here.file("config", text)], brief);
    expect(entries(result, "NE_START_ENCLAVE")[0]).toMatchObject({ requestedCid: 33, bytes: 66 * 2 ** 20 });
    expect(entries(result, "NE_ADD_VCPU")).toHaveLength(4);
    expectNothingLeft(result);
  });

  test("-object hugetlbsize=1G: allocates pages of 1 GiB only", async () => {
    const object = "memory-backend-memfd,id=m,size=1G,hugetlb=on,hugetlbsize=1G";
    const [nitro = ""] = here.debug();
    const args = [nitro, "-kernel", here.eif, "-object", object, "-machine", "memory-backend=m"];
    const result = await launch(args, { ...brief, hugePages1G: 2 });
    expect(result.stderr).toMatch(/memory 1024M, 1 huge page of 1 GiB/);
    const none = await launch(args, { ...brief, hugePages1G: 0 });
    expect(none.status).toBe(1);
    expect(none.stderr).toContain(
      `nitro: -object ${object}: not enough huge pages: need 1024 MiB, 0 MiB free (0 of 0 pages of 1 GiB)`,
    );
  });
});
