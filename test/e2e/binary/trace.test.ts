import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { smallSections, writeEif } from "../../unit/eif/eif-writer.ts";
import { Directory, hasDevice, NO_DEVICE, nitro } from "./nitro.ts";

const directory = new Directory();
afterAll(() => directory[Symbol.dispose]());
chmodSync(directory.path, 0o755);
const eif = directory.file("image.eif");
writeFileSync(eif, writeEif({ flags: process.arch === "arm64" ? 1 : 0, sections: smallSections() }));
const trace = directory.file("trace");

/** A line in strace's format: call(arguments) = result. */
const LINE = /^[a-zA-Z_0-9]+\(.*\) = (-1 [A-Z]\w+|\d+|0x[0-9a-f]+)$/;

describe.skipIf(hasDevice)("-d syscalls", () => {
  test("-d syscalls: writes one line per call to the file of -D, up to the open of the missing device", () => {
    const { err, out } = nitro(["-kernel", eif, "-d", "syscalls", "-D", trace]);
    expect(err).toStartWith(NO_DEVICE);
    expect(out).toBe("");
    const lines = readFileSync(trace, "utf8").trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(LINE);
    const opened = lines.findIndex(
      (line) => line.startsWith(`open(${JSON.stringify(eif)}, O_CLOEXEC`) || line.includes("image.eif"),
    );
    const device = lines.indexOf('open("/dev/nitro_enclaves", O_RDWR|O_CLOEXEC) = -1 ENOENT');
    expect(device).toBeGreaterThan(opened);
    const signals = lines.findIndex((line) =>
      /^sigaction\(SIGTERM, \{0x[0-9a-f]+, SA_RESTART\}, NULL\) = 0$/.test(line),
    );
    expect(signals).toBeGreaterThanOrEqual(0);
    expect(opened).toBeGreaterThan(signals);
  });

  test("-d syscalls: without -D the lines go to standard error, before the message", () => {
    const { err, out } = nitro(["-kernel", eif, "-d", "syscalls"]);
    expect(out).toBe("");
    const lines = err.trimEnd().split("\n");
    const message = lines.findIndex((line) => line.startsWith("nitro: "));
    expect(message).toBeGreaterThan(5);
    for (const line of lines.slice(0, message)) expect(line).toMatch(LINE);
    expect(lines.slice(message).length).toBe(2);
  });

  test("-d syscalls: every opened descriptor is closed again", () => {
    const { err } = nitro(["-kernel", eif, "-d", "syscalls"]);
    const open = new Set<string>();
    for (const line of err.split("\n")) {
      const made = /^(?:open|socket|accept4|memfd_create)\(.*\) = (\d+)$/.exec(line)?.[1];
      if (made !== undefined) open.add(made);
      const closed = /^close\((\d+)\) = 0$/.exec(line)?.[1];
      if (closed !== undefined) open.delete(closed);
    }
    expect([...open]).toEqual([]);
  });

  test("-d syscalls: the file is for its owner only, and is truncated", () => {
    writeFileSync(directory.file("old"), "old\n");
    nitro(["-kernel", eif, "-d", "syscalls", "-D", directory.file("fresh")]);
    nitro(["-kernel", eif, "-d", "syscalls", "-D", directory.file("old")]);
    expect(statSync(directory.file("fresh")).mode & 0o777).toBe(0o600);
    expect(readFileSync(directory.file("old"), "utf8")).not.toContain("old\n");
  });
});

describe("without -d", () => {
  test("-D: the file is empty without -d", () => {
    nitro(["-kernel", "/no/such", "-D", directory.file("empty")]);
    expect(statSync(directory.file("empty")).size).toBe(0);
  });

  test("trace: nothing is traced without -d", () => {
    expect(nitro(["-kernel", "/no/such"]).err.split("\n").length).toBe(3);
  });

  test("-d vsock: prints nothing without vsock events", () => {
    expect(nitro(["-kernel", "/no/such", "-d", "vsock"]).err.split("\n").length).toBe(3);
  });
});
