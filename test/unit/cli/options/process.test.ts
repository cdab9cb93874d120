import { describe, expect, test } from "bun:test";
import type { LaunchOptions } from "../../../../src/launch/options.ts";
import { userErrorOf } from "../../../support/error-of.ts";
import { launchWith, parseLaunch } from "./parse-launch.ts";

const ordinary = {
  daemonize: false,
  user: undefined,
  chroot: undefined,
  exitWithParent: false,
  sandbox: false,
  processName: undefined,
};

describe("process options", () => {
  test.each([
    ["-daemonize", { daemonize: true }],
    [
      "-sandbox on,obsolete=deny,elevateprivileges=children,spawn=deny,resourcecontrol=deny",
      { sandbox: true },
    ],
    ["-name a,process=b", { processName: "b" }],
    ["-run-with exit-with-parent=on", { exitWithParent: true }],
    ["-run-with chroot=/x", { chroot: { value: "/x", typed: "-run-with chroot=/x" } }],
    ["-run-with user=bob", { user: { value: { name: "bob" }, typed: "-run-with user=bob" } }],
    ["-run-with user=7", { user: { value: { uid: 7 }, typed: "-run-with user=7" } }],
    ["-run-with user=7:8", { user: { value: { uid: 7, gid: 8 }, typed: "-run-with user=7:8" } }],
  ])("process options: %s", (args, expected) => {
    expect(launchWith(args).process).toEqual({ ...ordinary, ...expected } as LaunchOptions["process"]);
  });

  test("process options: an ordinary process has none", () => {
    expect(
      launchWith("-sandbox off -run-with exit-with-parent=off,async-teardown=off").process,
    ).toBeUndefined();
  });

  test("process options: a daemon discards its console unless -serial says otherwise", () => {
    const backendOf = (args: string) => launchWith(args).chardevs.map(({ backend }) => backend);
    expect(backendOf("-daemonize")).toEqual([{ kind: "null" }]);
    expect(backendOf("-daemonize -serial file:c")).toMatchObject([{ kind: "file", path: "c" }]);
    expect(launchWith("-daemonize -nodefaults").serial.value).toBeUndefined();
  });

  test.each([
    ["-daemonize -serial stdio", "cannot use stdio with -daemonize"],
    ["-daemonize -nographic", "cannot be used with -daemonize"],
    ["-daemonize -run-with exit-with-parent=on", "exit-with-parent=on: a daemon's parent exits at once"],
    ["-run-with foo=1", "Invalid parameter 'foo'"],
    ["-run-with user=4294967295", "Parameter 'user' expects ids below 4294967295"],
    ["-run-with user=1:4294967296", "Parameter 'user' expects ids below 4294967295"],
    ["-run-with user=a/b", "doesn't exist (and is not <uid>:<gid>)"],
    [
      "-run-with async-teardown=on",
      "Parameter 'async-teardown' must be off: the driver returns an enclave's memory",
    ],
    ["-sandbox maybe", "Parameter 'enable' expects 'on' or 'off'"],
    ["-sandbox on,spawn=x", "invalid argument for spawn"],
    [
      "-sandbox on,spawn=allow",
      "Parameter 'spawn' must be deny: nitro's sandbox allows only the system calls that it needs",
    ],
    ["-uuid abc", "failed to parse UUID string: wrong format"],
    ["-msg foo=on", "Invalid parameter 'foo'"],
  ])("process options: %s is refused", (args, why) => {
    expect(userErrorOf(() => launchWith(args)).why).toContain(why);
  });

  test("-runas and -chroot: are refused with -run-with as the replacement", () => {
    expect(userErrorOf(() => parseLaunch(["-runas", "x"])).hint).toBe(
      "use -run-with user=NAME or -run-with user=UID:GID",
    );
    expect(userErrorOf(() => parseLaunch(["-chroot", "x"])).hint).toBe("use -run-with chroot=DIR");
  });
});
