/** Long operations of `nitro eif`: their memory, signals, and the progress bar. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, truncateSync } from "node:fs";
import { progressBar } from "../../../src/sys/progress-bar.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());

const NITRO = new URL("../../../dist/nitro", import.meta.url).pathname;
const GIB = 1024 ** 3;

/** Creates a sparse file of zeros. */
function sparse(name: string, bytes: number): string {
  truncateSync(here.file(name, ""), bytes);
  return here.path(name);
}

async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i > 3000) throw new Error(`no ${what} within 30 s`);
    await Bun.sleep(10);
  }
}

/** Runs a command. Returns its exit status and peak memory, polled from /proc. */
async function peakOf(args: readonly string[]): Promise<{ status: number; peakBytes: number }> {
  const run = Bun.spawn([NITRO, "eif", ...args], {
    cwd: here.directory,
    stdio: ["ignore", "ignore", "inherit"],
  });
  let peakBytes = 0;
  // getrusage(2) would include this process, which the command is a fork of at first.
  while (run.exitCode === null) {
    const status = await Bun.file(`/proc/${run.pid}/status`)
      .text()
      .catch(() => "");
    const high = /VmHWM:\s*(\d+) kB/.exec(status)?.[1];
    if (high !== undefined && status.includes("Name:\tnitro"))
      peakBytes = Math.max(peakBytes, Number(high) * 1024);
    await Bun.sleep(20);
  }
  return { status: await run.exited, peakBytes };
}

test("eif build: an image of 4 GiB needs less than 100 MB of memory", async () => {
  const disk = sparse("huge", 4 * GIB);
  const args = ["-arch", "x86_64", "-kernel", here.kernel, "-initrd", disk];
  const { status, peakBytes } = await peakOf(["build", "-o", "/dev/null", ...args]);
  expect(status).toBe(0);
  expect(peakBytes).toBeLessThan(100e6);
  expect(peakBytes).toBeGreaterThan(10e6);
});

describe("signals", () => {
  const before = "the image that was there";
  const old = here.file("old.eif", before);
  const disk = sparse("large", 8 * GIB);
  const args = ["-arch", "x86_64", "-kernel", here.kernel, "-initrd", disk];

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "%s: stops a build, and no temporary file is left",
    async (signal) => {
      const names = here.names();
      const build = Bun.spawn([NITRO, "eif", "build", "-o", old, ...args], {
        cwd: here.directory,
        stdio: ["ignore", "pipe", "pipe"],
      });
      await eventually("a file that is being written", () => here.names().length > names.length);
      build.kill(signal);
      expect(await build.exited).toBe(1);
      expect(await new Response(build.stderr).text()).toBe(
        `nitro: ${signal}: stopped before it was done; nothing was written\n`,
      );
      expect(await new Response(build.stdout).text()).toBe("");
      expect(here.names()).toEqual(names);
      expect(readFileSync(old, "utf8")).toBe(before);
    },
  );

  test("SIGINT: stops an extraction, and no directory is left", async () => {
    here.done([
      "build",
      "-like-qemu",
      "-o",
      "small.eif",
      "-arch",
      "x86_64",
      "-kernel",
      here.kernel,
      "-initrd",
      here.third,
    ]);
    // The ramdisk is enlarged to 8 GiB by a hole; the last section follows it.
    const image = Buffer.from(readFileSync(here.path("small.eif")));
    const ramdisk = Number(image.readBigUInt64BE(28 + 16));
    const [head, tail] = [image.subarray(0, ramdisk + 12), image.subarray(ramdisk + 13)];
    for (const at of [284 + 16, ramdisk + 4]) head.writeBigUInt64BE(BigInt(8 * GIB), at);
    head.writeBigUInt64BE(BigInt(ramdisk + 12 + 8 * GIB), 28 + 24);
    const path = here.file("holey.eif", head);
    truncateSync(path, head.length + 8 * GIB);
    await Bun.write(Bun.file(here.path("tail")), tail);
    Bun.spawnSync(["sh", "-c", `cat tail >> holey.eif`], { cwd: here.directory });
    const names = here.names();
    const run = Bun.spawn([NITRO, "eif", "extract", "holey.eif", "-o", "parts"], {
      cwd: here.directory,
      stdio: ["ignore", "pipe", "pipe"],
    });
    await eventually("a directory with files", () => here.names().length > names.length);
    await Bun.sleep(50);
    run.kill("SIGTERM");
    expect(await run.exited).not.toBe(0);
    expect(here.names()).toEqual(names);
  });
});

describe("progress bar", () => {
  function drawn(steps: readonly (readonly [atMs: number, bytes: number])[]): string[] {
    const texts: string[] = [];
    let time = 1000;
    const bar = progressBar(
      (text) => texts.push(text),
      "app.eif",
      () => time,
    );
    bar.expect(300e6);
    bar.expect(100e6);
    for (const [atMs, bytes] of steps) {
      time = 1000 + atMs;
      bar.step(bytes);
    }
    bar[Symbol.dispose]();
    return texts;
  }

  test("progress bar: is not drawn within the first half second", () => {
    expect(
      drawn([
        [0, 100e6],
        [300, 200e6],
        [499, 100e6],
      ]),
    ).toEqual([]);
  });

  test("progress bar: is drawn after that, at most ten times a second, and erased at the end", () => {
    expect(
      drawn([
        [100, 100e6],
        [600, 100e6],
        [650, 50e6],
        [710, 50e6],
        [900, 300e6],
      ]),
    ).toEqual([
      `\rapp.eif [${"#".repeat(20)}${" ".repeat(20)}]  50% of 400 MB\x1b[K`,
      `\rapp.eif [${"#".repeat(30)}${" ".repeat(10)}]  75% of 400 MB\x1b[K`,
      `\rapp.eif [${"#".repeat(40)}] 100% of 400 MB\x1b[K`,
      "\r\x1b[K",
    ]);
  });
});
