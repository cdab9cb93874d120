/** Files that a launcher creates in a world-writable directory where another user has created something before it. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import {
  entries,
  eventually,
  expectNothingLeft,
  HELLO,
  launch,
  notHere,
  shellWords,
  startLaunch,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
const open = here.path("open");
const stranger = 4321;
mkdirSync(open);
chmodSync(open, 0o1777);
afterAll(() => here[Symbol.dispose]());

/** A launch for each option that writes a file at a path. */
const WAYS: Readonly<Record<string, (path: string) => string[]>> = {
  "-pidfile": (path) => ["-pidfile", path],
  "-serial file:": (path) => ["-serial", `file:${path}`],
  "-D": (path) => ["-d", "vsock", "-D", path],
  "logfile=": (path) => ["-chardev", `null,id=c,logfile=${path}`, "-serial", "chardev:c"],
  "a monitor's chardev": (path) => ["-chardev", `file,id=c,path=${path},append=on`],
};

describe.skipIf(notHere !== undefined)("world-writable directory", () => {
  test.each(Object.keys(WAYS))("%s: follows no link and writes no file of another user", async (name) => {
    const victim = here.file("victim", "kept");
    const [link, file] = [`${open}/link`, `${open}/file`];
    rmSync(link, { force: true });
    rmSync(file, { force: true });
    symlinkSync(victim, link);
    here.file("open/file", "theirs");
    for (const path of [link, file]) lchownSync(path, stranger, stranger);
    for (const [path, kind] of [
      [link, "symbolic link"],
      [file, "file"],
    ]) {
      const result = await launch(here.debug(...(WAYS[name]?.(path ?? "") ?? [])), { enclave: HELLO });
      expect(result.stderr).toContain(
        `${path}: refused to write to a ${kind} in a world-writable directory (owner: user ${stranger})\n`,
      );
      expect([result.status, entries(result, "NE_CREATE_VM")]).toEqual([1, []]);
    }
    expect([readFileSync(victim, "utf8"), readFileSync(file, "utf8")]).toEqual(["kept", "theirs"]);
  });

  test("output file: a link and a file of the launcher's own user are used", async () => {
    const target = here.file("target", "before");
    symlinkSync(target, `${open}/own-link`);
    here.file("open/own-file", "a text that is longer than what comes");
    const first = await launch(here.debug("-serial", `file:${open}/own-link`), { enclave: HELLO });
    const second = await launch(here.debug("-serial", `file:${open}/own-file`), { enclave: HELLO });
    expect([first.status, second.status]).toEqual([5, 5]);
    expect(readFileSync(target, "utf8")).toBe("hello\nfrom within\n");
    expect(readFileSync(`${open}/own-file`, "utf8")).toBe("hello\nfrom within\n");
  });

  test("monitor socket: replaces no other file, and is removed only if it is still the same socket", async () => {
    symlinkSync(here.path("elsewhere.sock"), `${open}/link.sock`);
    const args = ["-qmp", "unix:open/link.sock,server=on,wait=off"];
    const refused = await launch(here.debug(...args.map((word) => word.replace("open/", `${open}/`))));
    expect(refused.stderr).toContain("the path exists and is not a socket");
    const run = (name: string) =>
      startLaunch({
        command: here.debug("-qmp", `unix:${name},server=on,wait=off`),
        cwd: here.directory,
        scenario: { enclave: { heartbeatMs: 1 } },
      });
    const first = run("same.sock");
    const inode = await eventually(
      "a socket",
      () => existsSync(here.path("same.sock")) && inodeOf("same.sock"),
    );
    const second = run("same.sock");
    await eventually(
      "another socket",
      () => existsSync(here.path("same.sock")) && inodeOf("same.sock") !== inode,
    );
    first.kill("SIGTERM");
    expectNothingLeft(await first.finished());
    expect(statSync(here.path("same.sock")).mode & 0o777).toBe(0o600);
    second.kill("SIGTERM");
    expectNothingLeft(await second.finished());
    expect(existsSync(here.path("same.sock"))).toBe(false);
  });

  test("log file: a FIFO is refused without waiting for its reader", async () => {
    Bun.spawnSync(["mkfifo", here.path("fifo")]);
    const result = await launch(here.debug("-chardev", `null,id=c,logfile=${here.path("fifo")}`));
    expect(result.stderr).toContain(
      `Could not open '${here.path("fifo")}': No such device or address (ENXIO)`,
    );
    expect(result.status).toBe(1);
  });

  test("pid file: one that another launcher has created meanwhile is not removed", async () => {
    const pidFile = here.path("pid");
    // The first launcher's file is moved away; the second creates its own at the same path.
    const script =
      `${shellWords(here.production("-pidfile", pidFile))} & A=$!; ` +
      `until test -s ${pidFile}; do sleep 0.02; done; mv ${pidFile} ${pidFile}.old; ` +
      `${shellWords(here.production("-pidfile", pidFile))} & B=$!; ` +
      `until test -s ${pidFile}; do sleep 0.02; done; ` +
      `kill $A; wait $A; test "$(cat ${pidFile})" = $B && echo kept; kill $B; wait $B; test -e ${pidFile} || echo gone`;
    const result = await launch(["sh", "-c", script], { enclave: { heartbeatMs: 1 } });
    expect(result.stdout).toBe("kept\ngone\n");
    expectNothingLeft(result);
  });
});

function inodeOf(name: string): number {
  return statSync(here.path(name)).ino;
}
