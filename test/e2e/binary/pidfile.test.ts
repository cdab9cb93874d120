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
  test.skipIf(hasDevice)("is removed after a launch that fails", () => {
    const path = directory.file("pid");
    expect(launch(path)).toMatchObject({ line: expect.stringContaining(NO_DEVICE), status: 1 });
    expect(existsSync(path)).toBe(false);
  });

  test.skipIf(hasDevice)("that a dead launcher left behind is taken over", () => {
    const path = directory.file("stale");
    writeFileSync(path, "123456789\n");
    expect(launch(path)).toMatchObject({ line: expect.stringContaining(NO_DEVICE), status: 1 });
    expect(existsSync(path)).toBe(false);
  });

  test("that another launcher holds is refused, and left as it is", async () => {
    const path = directory.file("held");
    writeFileSync(path, "4711\n");
    const holder = Bun.spawn(["flock", path, "sh", "-c", "echo held; exec sleep 20"], { stdout: "pipe" });
    const reader = holder.stdout.getReader();
    await reader.read();
    expect(launch(path)).toEqual({
      line: `nitro: -pidfile ${path}: in use by another launcher (pid ${holder.pid})`,
      hint: "hint: choose another file, or stop that launcher first, which also stops its enclave",
      status: 1,
    });
    holder.kill();
    await holder.exited;
    expect(readFileSync(path, "utf8")).toBe("4711\n");
  });

  test("that does not fit on the disk is reported, and none is left behind", () => {
    const path = directory.file("full");
    const script = `ulimit -f 0; exec ${built("nitro")} -kernel ${eif} -pidfile ${path}`;
    const { err, status } = runCommand(["sh", "-c", script], { cwd: directory.path });
    expect(firstLine(err)).toStartWith(`nitro: -pidfile ${path}: File too large (EFBIG)`);
    expect([status, existsSync(path)]).toEqual([1, false]);
  });

  test("in a directory that is not there", () => {
    expect(launch("/no/such/pid").line).toBe(
      "nitro: -pidfile /no/such/pid: No such file or directory (ENOENT): directory /no/such/ does not exist",
    );
  });

  test("that is a directory", () => {
    expect(launch(directory.path).line).toBe(
      `nitro: -pidfile ${directory.path}: Is a directory (EISDIR): ${directory.path} is a directory`,
    );
  });

  test("that is a FIFO does not hold the launch up", () => {
    const path = directory.file("fifo");
    runCommand(["mkfifo", path]);
    expect(launch(path)).toMatchObject({ status: 1 });
    expect(launch(path).line).toStartWith(`nitro: -pidfile ${path}: `);
  });

  test("of a launch whose image is bad is not made", () => {
    const path = directory.file("early");
    nitro(["-kernel", "/no/such", "-pidfile", path]);
    expect(existsSync(path)).toBe(false);
  });

  test("where this user may not write", () => {
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

  test("that is a link to nowhere makes what it points to, and takes the link away", () => {
    const path = directory.file("link");
    symlinkSync(directory.file("target"), path);
    launch(path);
    expect(existsSync(path)).toBe(false);
  });
});
