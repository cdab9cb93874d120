import { describe, expect, test } from "bun:test";
import { userErrorOf } from "../../../support/error-of.ts";
import { launchWith } from "./parse-launch.ts";

describe("-chardev socket", () => {
  test.each([
    ["fd=7", { address: { kind: "fd", fd: "7" }, server: false }],
    ["fd=7,server=on,wait=off", { address: { kind: "fd", fd: "7" }, server: true, wait: false }],
    ["path=a", { address: { kind: "unix", path: "a" } }],
    ["host=::1,port=1", { address: { kind: "tcp", host: "::1", port: 1 } }],
    ["port=1", { address: { kind: "tcp", host: "", port: 1, family: undefined } }],
    ["port=1,ipv4=on", { address: { kind: "tcp", host: "", port: 1, family: "ipv4" } }],
    ["port=1,ipv4=off", { address: { kind: "tcp", host: "", port: 1, family: "ipv6" } }],
    ["port=1,ipv6=on", { address: { kind: "tcp", host: "", port: 1, family: "ipv6" } }],
    ["port=1,ipv6=off", { address: { kind: "tcp", host: "", port: 1, family: "ipv4" } }],
    ["port=1,ipv4=on,ipv6=on", { address: { kind: "tcp", host: "", port: 1, family: undefined } }],
    ["host=0,port=1", { address: { kind: "tcp", host: "0", port: 1 } }],
  ])("-chardev socket: reads %s", (properties, expected) => {
    expect(launchWith(`-chardev socket,id=c,${properties}`).chardevs[0]?.backend).toMatchObject(expected);
  });

  test.each([
    ["-chardev socket,id=c,fd=x", "Unable to parse FD number x"],
    ["-chardev socket,id=c,fd=-1", "Unable to parse FD number -1"],
    ["-chardev socket,id=c,fd=7,path=a", "None or one of 'path', 'fd' or 'host' option required."],
    ["-chardev socket,id=c,host=::1,path=a", "None or one of 'path', 'fd' or 'host' option required."],
    ["-chardev socket,id=c,fd=7,port=1", "port is for TCP"],
    ["-chardev socket,id=c,fd=7,reconnect-ms=9", "incompatible with 'fd' address type"],
    ["-chardev socket,id=c,port=1,ipv4=off,ipv6=off", "Cannot disable IPv4 and IPv6 at same time"],
    ["-chardev socket,id=c", "no path, no fd and no port given"],
    ["-chardev socket,id=c,fd=7 -qmp unix:fd=7", "-chardev socket,id=c,fd=7 uses descriptor 7 already"],
  ])("-chardev socket: refuses %s", (args, why) => {
    expect(userErrorOf(() => launchWith(args)).why).toContain(why);
  });

  test("-qmp unix:fd=N: is a socket that was passed", () => {
    const { chardevs, monitors } = launchWith("-qmp unix:fd=9");
    const device = chardevs.find(({ label }) => label === monitors[0]?.chardev);
    expect(device?.backend).toMatchObject({ kind: "socket", address: { kind: "fd", fd: "9" } });
  });

  test("tcp::PORT and tcp:0:PORT: are addresses to listen on", () => {
    for (const [target, host] of [
      ["tcp::4444,server=on,wait=off", ""],
      ["tcp:0:4444,server=on,wait=off", "0"],
    ]) {
      expect(launchWith(`-serial ${target}`).chardevs[0]?.backend).toMatchObject({
        address: { kind: "tcp", host, port: 4444 },
      });
    }
  });
});

describe("-chardev logtimestamp", () => {
  test("logtimestamp: is a property of the log file", () => {
    const { chardevs } = launchWith("-chardev null,id=c,logfile=l,logtimestamp=on");
    expect(chardevs[0]?.log).toEqual({ path: "l", append: false, timestamp: true });
  });
});

describe("-add-fd", () => {
  test("-add-fd: reads number, set and text", () => {
    expect(launchWith("-add-fd fd=7,set=2,opaque=x -add-fd fd=8").addedFds).toEqual([
      { fd: 7, set: 2, opaque: "x", typed: "-add-fd fd=7,set=2,opaque=x" },
      { fd: 8, set: undefined, opaque: undefined, typed: "-add-fd fd=8" },
    ]);
  });

  test.each([
    ["-add-fd fd=1,set=1", "fd cannot be a standard I/O stream"],
    ["-add-fd set=1", "Parameter 'fd' is missing"],
    ["-add-fd fd=x", "Parameter 'fd' expects a number"],
    ["-add-fd fd=7,set=x", "Parameter 'set' expects a number"],
    ["-add-fd fd=7,flags=1", "Invalid parameter 'flags'"],
  ])("-add-fd: refuses %s", (args, why) => {
    expect(userErrorOf(() => launchWith(args)).why).toContain(why);
  });
});

describe("-echr", () => {
  test.each([
    ["0x14", 20],
    ["20", 20],
    ["255", 255],
  ])("-echr: %s is a byte", (text, byte) => {
    expect(launchWith(`-echr ${text}`).escapeByte).toBe(byte);
  });

  test.each(["0", "256", "x", "-1"])("-echr: refuses %s", (text) => {
    expect(userErrorOf(() => launchWith(`-echr ${text}`)).why).toContain("expects a number, 1 to 255");
  });
});

describe("-object monitor-qmp and monitor-hmp", () => {
  test("-object monitor-qmp and monitor-hmp: are monitors on a character device", () => {
    const { monitors } = launchWith(
      "-chardev null,id=a -chardev null,id=b -object monitor-qmp,id=q,chardev=a,pretty=on -object monitor-hmp,id=h,chardev=b",
    );
    expect(monitors).toEqual([
      { chardev: "a", mode: "control", pretty: true, typed: "-object monitor-qmp,id=q,chardev=a,pretty=on" },
      { chardev: "b", mode: "readline", pretty: false, typed: "-object monitor-hmp,id=h,chardev=b" },
    ]);
  });

  test("-object monitor-hmp: replaces the default monitor of -nographic", () => {
    const { monitors } = launchWith("-nographic -chardev null,id=a -object monitor-qmp,id=q,chardev=a");
    expect(monitors.map(({ chardev }) => chardev)).toEqual(["a"]);
  });

  test.each([
    ["-object monitor-qmp,id=q", "Parameter 'chardev' is missing"],
    ["-object monitor-hmp,chardev=a", "Parameter 'id' is missing"],
    ["-object monitor-hmp,id=h,chardev=none", 'chardev "none" not found'],
    ["-object monitor-hmp,id=h,chardev=a,foo=1", "Property 'monitor-hmp.foo' not found"],
    ["-object monitor-qmp,id=q,chardev=a,close-action=quit", "only none is supported"],
    ["-object monitor-qmp,id=q,chardev=a -object monitor-hmp,id=q,chardev=b", "Duplicate ID 'q' for object"],
    ["-object id=q", "Parameter 'qom-type' is missing"],
  ])("-object monitor-qmp and monitor-hmp: refuse %s", (args, why) => {
    const message = userErrorOf(() => launchWith(`-chardev null,id=a -chardev null,id=b ${args}`)).why;
    expect(message).toContain(why);
  });
});
