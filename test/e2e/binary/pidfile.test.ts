import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { smallSections, writeEif } from "../../unit/eif/eif-writer.ts";
import { built, Directory, firstLine, hasDevice, NO_DEVICE, nitro, runCommand } from "./nitro.ts";

const directory = new Directory();
afterAll(() => directory[Symbol.dispose]());
const eif = directory.file("image.eif");
writeFileSync(eif, writeEif({ flags: process.arch === "arm64" ? 1 : 0, sections: smallSections() }));

function launch(pidfile: string) {
  const { err, status } = nitro(["-kernel", eif, "-pidfile", pidfile], { cwd: directory.path });
  return { line: firstLine(err), hint: err.split("\n")[1], status };
}

describe("-pidfile", () => {
  test.skipIf(hasDevice)("-pidfile: is removed after a launch that fails", () => {
    const path = directory.file("pid");
    expect(launch(path)).toMatchObject({ line: expect.stringContaining(NO_DEVICE), status: 1 });
    expect(existsSync(path)).toBe(false);
  });

  test.skipIf(hasDevice)("-pidfile: takes over the file of a launcher that was killed", () => {
    const path = directory.file("stale");
    writeFileSync(path, "123456789\n");
    expect(launch(path)).toMatchObject({ line: expect.stringContaining(NO_DEVICE), status: 1 });
    expect(existsSync(path)).toBe(false);
  });

  test("-pidfile: refuses the file of another launcher and leaves it unchanged", async () => {
    const path = directory.file("held");
    writeFileSync(path, "4711\n");
    const holder = Bun.spawn(["flock", path, "sh", "-c", "echo held; exec sleep 20"], { stdout: "pipe" });
    const reader = holder.stdout.getReader();
    await reader.read();
    expect(launch(path)).toEqual({
      line: `nitro: -pidfile ${path}: in use by another launcher: flock (pid ${holder.pid})`,
      hint: "hint: choose another file; this one is free once that launcher and its enclave have ended",
      status: 1,
    });
    holder.kill();
    await holder.exited;
    expect(readFileSync(path, "utf8")).toBe("4711\n");
  });

  test("-pidfile: reports a full disk and leaves no file behind", () => {
    const path = directory.file("full");
    const script = `ulimit -f 0; exec ${built("nitro")} -kernel ${eif} -pidfile ${path}`;
    const { err, status } = runCommand(["sh", "-c", script], { cwd: directory.path });
    expect(firstLine(err)).toStartWith(`nitro: -pidfile ${path}: File too large (EFBIG)`);
    expect([status, existsSync(path)]).toEqual([1, false]);
  });

  test("-pidfile: refuses a directory that does not exist", () => {
    expect(launch("/no/such/pid").line).toBe(
      "nitro: -pidfile /no/such/pid: No such file or directory (ENOENT): directory /no/such/ does not exist",
    );
  });

  test("-pidfile: refuses a directory", () => {
    expect(launch(directory.path).line).toBe(
      `nitro: -pidfile ${directory.path}: Is a directory (EISDIR): ${directory.path} is a directory`,
    );
  });

  test("-pidfile: a FIFO does not block the launch", () => {
    const path = directory.file("fifo");
    runCommand(["mkfifo", path]);
    expect(launch(path)).toMatchObject({ status: 1 });
    expect(launch(path).line).toStartWith(`nitro: -pidfile ${path}: `);
  });

  test("-pidfile: is not created if the image is bad", () => {
    const path = directory.file("early");
    nitro(["-kernel", "/no/such", "-pidfile", path]);
    expect(existsSync(path)).toBe(false);
  });

  test("-pidfile: refuses a directory without write permission", () => {
    if (process.getuid?.() !== 0) return expect(launch("/pid").line).toContain("EACCES");
    const locked = directory.file("locked");
    mkdirSync(locked, { mode: 0o755 });
    chmodSync(directory.path, 0o755);
    chmodSync(eif, 0o644);
    const dist = new URL("../../../dist/nitro", import.meta.url).pathname;
    const user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const { err } = runCommand([...user, dist, "-kernel", eif, "-pidfile", `${locked}/pid`]);
    expect(firstLine(err)).toBe(`nitro: -pidfile ${locked}/pid: Permission denied (EACCES)`);
  });

  test("-pidfile: a dangling link creates its target, and the link is removed", () => {
    const path = directory.file("link");
    symlinkSync(directory.file("target"), path);
    launch(path);
    expect(existsSync(path)).toBe(false);
  });
});
