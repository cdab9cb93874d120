/** A launch from its first call to its last: the calls, their order, and the messages. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { assembledEif, crcOf, eifOf, fakeInitrd, fakeKernel, sha256 } from "./images.ts";
import {
  CAUSE_UNKNOWN,
  COMMAND_LINE,
  entries,
  eventually,
  exitLine,
  expectNothingLeft,
  HELLO,
  launch,
  lines,
  NITRO,
  notHere,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
const large = here.file("large", fakeKernel(40_000_000));
afterAll(() => here[Symbol.dispose]());

const STORY = [
  "openat",
  "memfd_create",
  "bind",
  "NE_CREATE_VM",
  "NE_GET_IMAGE_LOAD_INFO",
  "NE_SET_USER_MEMORY_REGION",
  "NE_ADD_VCPU",
  "NE_START_ENCLAVE",
  "console connect",
];
const quick = { enclave: HELLO };

/**
 * The steps of the launch in the order of the trace. Of the opens only the device's counts, and the files of the memory
 * are one step: their number depends on the machine.
 */
function steps(trace: Awaited<ReturnType<typeof launch>>["trace"]): string[] {
  return trace
    .filter(({ what, path }) => STORY.includes(what) && (what !== "openat" || path === "/dev/nitro_enclaves"))
    .map(({ what }) => what)
    .filter((what, i, all) => what !== "memfd_create" || what !== all[i - 1]);
}

function expectedSteps(vcpus: number, debug: boolean): string[] {
  const expected = STORY.flatMap((step) => (step === "NE_ADD_VCPU" ? Array(vcpus).fill(step) : [step]));
  return debug ? expected : expected.slice(0, -1);
}

const pieces = () => ["-kernel", here.kernel, "-initrd", here.initrd, "-append", COMMAND_LINE];

describe.concurrent.skipIf(notHere !== undefined)("launch", () => {
  const cases = [
    { name: "of an EIF in debug mode", image: () => ["-kernel", here.eif], debug: true, vcpus: 2 },
    { name: "of an EIF in production mode", image: () => ["-kernel", here.eif], debug: false, vcpus: 4 },
    { name: "of kernel and initrd in debug mode", image: pieces, debug: true, vcpus: 6 },
    { name: "of kernel and initrd in production mode", image: pieces, debug: false, vcpus: 2 },
  ];
  for (const { name, image, debug, vcpus } of cases) {
    test(`launch: ${name} makes the calls in order and reports the enclave`, async () => {
      const accel = `nitro,debug-mode=${debug ? "on" : "off"},enclave-cid=21`;
      const command = [NITRO, "-accel", accel, ...image(), "-smp", String(vcpus), "-m", "66M"];
      const result = await launch(command, quick);
      expect(result.status).toBe(5);
      expect(result.stdout).toBe(debug ? "hello\nfrom within\n" : "");
      expect(steps(result.trace)).toEqual(expectedSteps(vcpus, debug));
      const [memory] = entries(result, "NE_SET_USER_MEMORY_REGION");
      expect(memory).toMatchObject({ bytes: 66 * 2 ** 20, imageComplete: true, image: { bytes: 1_066_160 } });
      const [start] = entries(result, "NE_START_ENCLAVE");
      expect(start).toMatchObject({ flags: debug ? 1 : 0, requestedCid: 21, cid: 21, bytes: 66 * 2 ** 20 });
      const cpus = entries(result, "NE_ADD_VCPU").map(({ cpu }) => String(cpu));
      const mode = debug
        ? "debug mode"
        : "production mode (no console; -accel nitro,debug-mode=on gives one)";
      // The number of regions depends on this machine.
      const message = result.stderr.replace(/ in \d+ regions?(?=[, ])/, "");
      const [started, exited, ...more] = lines(message);
      expect(started).toBe(
        `nitro: enclave started: CID 21, ${vcpus} vCPUs (CPUs ${cpus.join(", ")}), ` +
          `memory 66M, 33 huge pages of 2 MiB, ${mode}`,
      );
      expect(exited).toMatch(exitLine(debug ? CAUSE_UNKNOWN.debug : CAUSE_UNKNOWN.production, 21));
      expect(more).toEqual([]);
      expectNothingLeft(result);
    });
  }

  // The sizes and digests are those of QEMU 11.1 for the same files.
  const known = [
    {
      name: "kernel, initrd and command line",
      args: pieces,
      eif: () => assembledEif(fakeKernel(), fakeInitrd(), COMMAND_LINE),
      digest: "c0cd8f528ce449ea4fdb83a634cefcc4768c7c4d973e57a4f7f18c9cae110a9f",
    },
    {
      name: "a kernel alone",
      args: () => ["-kernel", here.kernel],
      eif: () => assembledEif(fakeKernel(), new Uint8Array(0), ""),
      digest: "7f9badca152ccb0f15a9032214da5a3058f1597a977f343e7295e8566a64ff5c",
    },
  ];
  for (const { name, args, eif, digest } of known) {
    test(`launch: assembles the image that QEMU assembles for ${name}`, async () => {
      const expected = eif();
      expect(sha256(expected)).toBe(digest);
      const result = await launch([NITRO, ...args(), "-m", "64M"], quick);
      const image = { ok: true, bytes: expected.length, crc: crcOf(expected), crcComputed: crcOf(expected) };
      expect(entries(result, "NE_START_ENCLAVE")[0]).toMatchObject({ image });
      expectNothingLeft(result);
    });
  }

  // The launch writes exactly what an independent writer of the format writes for the same files.
  const several = [
    { name: "two ramdisks after -initrd's", initrd: true, extra: [40_001, 5] },
    { name: "ramdisks without -initrd", initrd: false, extra: [7, 40_001] },
  ];
  for (const { name, initrd, extra } of several) {
    test(`launch: assembles an image of ${name}`, async () => {
      const disks = extra.map((length, i) => fakeInitrd(length + i));
      const args = disks.flatMap((bytes, i) => ["-M", `nitro,ramdisk=${here.file(`${name}-${i}`, bytes)}`]);
      const all = initrd ? [fakeInitrd(), ...disks] : disks;
      const expected = eifOf([
        { type: "kernel", bytes: fakeKernel() },
        { type: "cmdline", bytes: new TextEncoder().encode("quiet") },
        ...all.map((bytes) => ({ type: "ramdisk", bytes }) as const),
        { type: "metadata", bytes: new TextEncoder().encode("{}") },
      ]);
      const first = initrd ? ["-initrd", here.initrd] : [];
      const command = [NITRO, "-kernel", here.kernel, ...args, ...first, "-append", "quiet", "-m", "64M"];
      const result = await launch(command, quick);
      const image = { ok: true, bytes: expected.length, crc: crcOf(expected), crcComputed: crcOf(expected) };
      expect(entries(result, "NE_START_ENCLAVE")[0]).toMatchObject({ image });
      expectNothingLeft(result);
    });
  }

  test("any-kernel=on: launches the file of -kernel byte for byte", async () => {
    const text = new TextEncoder().encode("no kernel at all\n");
    const expected = assembledEif(text, new Uint8Array(0), "");
    const command = [NITRO, "-kernel", here.file("text", text), "-M", "any-kernel=on", "-m", "64M"];
    const result = await launch(command, quick);
    const image = { ok: true, bytes: expected.length, crc: crcOf(expected) };
    expect(entries(result, "NE_START_ENCLAVE")[0]).toMatchObject({ image });
    expect(result.stderr).toStartWith("nitro: warning: -kernel ");
  });

  test("launch: loads the image at the driver's offset", async () => {
    const result = await launch(here.debug(), { ...quick, loadOffset: 16 * 2 ** 20 });
    expect(entries(result, "NE_START_ENCLAVE")[0]).toMatchObject({ image: { ok: true, bytes: 1_066_160 } });
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test("launch: refuses an image that does not fit at the driver's offset", async () => {
    const result = await launch(here.debug(), { loadOffset: 63 * 2 ** 20 + 2 ** 19 });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("nitro: -m 64M: the image has 1066160 bytes and is loaded");
    expect(result.stderr).toContain("hint: use -m 66M or more");
    expect(entries(result, "NE_START_ENCLAVE")).toEqual([]);
    expectNothingLeft(result);
  });

  for (const threads of [1, 2]) {
    test(`defaults: 128 MiB and one core (threads: ${threads})`, async () => {
      const scenario = {
        ...quick,
        cpus: 8,
        threadsPerCore: threads,
        pool: threads === 1 ? "2-5" : "1-2,5-6",
      };
      const result = await launch([NITRO, "-kernel", here.eif], scenario);
      const start = entries(result, "NE_START_ENCLAVE")[0];
      expect(start).toMatchObject({ bytes: 128 * 2 ** 20, requestedCid: 0, cid: 16 });
      expect(entries(result, "NE_ADD_VCPU")).toHaveLength(threads);
      expect(result.status).toBe(5);
      expectNothingLeft(result);
    });
  }

  test("defaults: four times the image if that is more, in whole huge pages", async () => {
    const result = await launch([NITRO, "-kernel", large], quick);
    expect(entries(result, "NE_START_ENCLAVE")[0]).toMatchObject({ bytes: 154 * 2 ** 20 });
    expect(result.stderr).not.toContain("warning");
  });

  test("launch: warns about tight memory and continues", async () => {
    const result = await launch([NITRO, "-kernel", large, "-m", "64M"], quick);
    const [warning, started] = lines(result.stderr);
    expect(warning).toStartWith("nitro: warning: -m 64M is less than four times the image (40000598 bytes)");
    expect(warning).toEndWith("use -m 154M");
    expect(started).toStartWith("nitro: enclave started: ");
    expectNothingLeft(result);
  });
});

/** The number of free huge pages of this machine. */
function freeHugePages(): number {
  return Number(/^HugePages_Free:\s*(\d+)/m.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 0);
}

describe.concurrent.skipIf(notHere !== undefined)("the machine's huge pages", () => {
  test("huge pages of this machine: are donated if enough of them are free", async () => {
    const memory = freeHugePages() >= 128 ? "real" : "stand-in";
    const result = await launch(here.debug(), { ...quick, memory });
    expect(entries(result, "NE_SET_USER_MEMORY_REGION")[0]).toMatchObject({ imageComplete: true, result: 0 });
    expect(result.report.memory).toBe(memory);
    expect(result.stdout).toBe("hello\nfrom within\n");
    expect(result.status).toBe(5);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("options", () => {
  test("-name: is in the start message", async () => {
    const result = await launch(here.debug("-name", "guest=vault"), quick);
    expect(result.stderr).toContain("nitro: enclave vault started: CID 16, ");
  });

  test("-pidfile: holds the process id while nitro runs, and is removed afterwards", async () => {
    const pidFile = here.path("pid");
    const run = startLaunch({
      command: here.debug("-pidfile", pidFile, "-serial", `file:${here.path("up")}`),
      scenario: { enclave: { console: ["up"] } },
    });
    await eventually(
      "the console's first line",
      () => existsSync(here.path("up")) && here.text("up") === "up\n",
    );
    expect(readFileSync(pidFile, "utf8")).toBe(`${run.commandPid()}\n`);
    run.kill("SIGTERM");
    const result = await run.finished();
    expect(result.status).toBe(0);
    expect(existsSync(pidFile)).toBe(false);
    expectNothingLeft(result);
  });

  test("-pidfile: one that another launcher has locked is refused before the enclave is created", async () => {
    const pidFile = here.path("held");
    const first = here.debug("-pidfile", pidFile, "-serial", `file:${here.path("first")}`).join(" ");
    const second = here.debug("-pidfile", pidFile).join(" ");
    const script = `${first} & until grep -qs up ${here.path("first")}; do sleep 0.02; done; ${second}; echo $?; kill $!; wait $!; echo $?`;
    const result = await launch(["sh", "-c", script], { enclave: { console: ["up"] } });
    expect(result.stdout).toBe("1\n0\n");
    expect(result.stderr).toContain(`nitro: -pidfile ${pidFile}: in use by another launcher: nitro (pid `);
    expect(entries(result, "NE_CREATE_VM")).toHaveLength(1);
    expect(existsSync(pidFile)).toBe(false);
    expectNothingLeft(result);
  });

  test("-serial file: receives the console, and stdout stays empty", async () => {
    here.file("console", "left from before, and longer than what follows");
    const result = await launch(here.debug("-serial", `file:${here.path("console")}`), quick);
    expect(here.text("console")).toBe("hello\nfrom within\n");
    expect(result.stdout).toBe("");
  });

  test("-serial null: reads the console and discards it", async () => {
    const result = await launch(here.debug("-serial", "null"), quick);
    expect(result.stdout).toBe("");
    expect(result.report.consoles).toEqual([{ cid: 16, produced: 18, delivered: 18 }]);
  });

  for (const args of [["-serial", "none"], ["-nodefaults"]]) {
    test(`${args.join(" ")}: does not connect the console; the heartbeat is still answered`, async () => {
      const result = await launch(here.debug(...args), quick);
      expect(result.stdout).toBe("");
      expect(entries(result, "connect")).toEqual([]);
      expect(result.report.heartbeats).toEqual([{ cid: 16, byte: 0xb7, outcome: "answered" }]);
      expect(result.status).toBe(5);
    });
  }

  test("-nodefaults with -serial stdio: connects the console", async () => {
    const result = await launch(here.debug("-nodefaults", "-serial", "stdio"), quick);
    expect(result.stdout).toBe("hello\nfrom within\n");
  });
});
