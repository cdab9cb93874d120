import { describe, expect, test } from "bun:test";
import { parseCommandLine } from "../../../src/cli/command-line.ts";
import { LAUNCH_OPTIONS } from "../../../src/cli/options/table.ts";
import { userErrorOf } from "../../support/error-of.ts";

function noFile(path: string): string {
  throw new Error(`${path} is read`);
}

function asked(...args: string[]): string {
  const request = parseCommandLine(args, noFile);
  if ("print" in request) return request.print;
  return "launch" in request ? "a launch" : `subcommand ${request.subcommand.join(" ")}`;
}

describe("help and version", () => {
  test.each([
    [["-accel", "help"], "Accelerators supported by nitro:\nnitro\n"],
    [["-accel", "?"], "Accelerators supported by nitro:\nnitro\n"],
    [["-cpu", "help"], "Available CPUs:\n  host\n"],
    [["-display", "help"], "Available display backend types:\nnone\n"],
    [["-M", "help"], "Supported machines are:\nnitro                AWS Nitro Enclave (default)\n"],
  ])("help and version: %p", (words, text) => {
    expect(asked(...words)).toBe(text);
  });

  test("help: lists the properties of the accelerator and of the machine", () => {
    expect(asked("-accel", "nitro,help")).toMatch(/^nitro-accel options:\n {2}cpu-ids=<int\[-int\]>/);
    expect(asked("-accel", "nitro,help")).toContain("enclave-cid=<uint64>");
    expect(asked("-M", "nitro,?")).toMatch(/^nitro-machine options:\n/);
  });

  test("help: lists the items of -d", () => {
    expect(asked("-d", "help")).toMatch(
      /^Log items \(comma separated\):\nsyscalls {8}\S.*\nvsock {11}\S.*\n$/,
    );
  });

  const WITH_HELP = LAUNCH_OPTIONS.filter(({ properties, listing }) => properties ?? listing);

  test.each(WITH_HELP.flatMap(({ name }) => [`-${name} help`, `-${name} ?`]))(
    "help: %s prints help and launches nothing, wherever it is",
    (words) => {
      const text = asked(...words.split(" "));
      expect(text).toMatch(/\S\n$/);
      expect(text).not.toContain("undefined");
      expect(asked("-kernel", "k", ...words.split(" "), "-m", "1G")).toBe(text);
    },
  );

  test.each([
    ["-m 1G,help", /^memory options:\n {2}size=/],
    ["-smp 2,?", /^smp options:\n {2}cores=/],
    ["-sandbox on,help", /^sandbox options:\n {2}elevateprivileges=/],
    ["-msg timestamp,help", /^msg options:\n {2}guest-name=/],
    ["-name app,help", /^name options:\n {2}guest=/],
    ["-run-with user=u,?", /^run-with options:\n {2}chroot=/],
    ["-mon help", /^mon options:\n {2}chardev=/],
    ["-chardev help", /^Available chardev backend types:\n {2}null\n/],
    ["-chardev null,help", /^null options:\n {2}id=.*\n(?!.* path=)/],
    ["-chardev socket,?", /^socket options:\n(.*\n)* {2}server=<bool>/],
    ["-chardev file,id=x,help", /^file options:\n {2}append=/],
    ["-object memory-backend-memfd,help", /^memory-backend-memfd options:\n/],
    ["-object monitor-qmp,?", /^monitor-qmp options:\n {2}chardev=/],
  ])("help: %s", (words, text) => {
    expect(asked(...words.split(" "))).toMatch(text);
  });

  test.each([
    [
      "-object nosuch,help",
      "Parameter 'qom-type' does not accept value 'nosuch': nitro -object help lists the types",
    ],
    [
      "-object toString,help",
      "Parameter 'qom-type' does not accept value 'toString': nitro -object help lists the types",
    ],
    ["-chardev nosuch,help", "'nosuch' is not a valid char driver name"],
    ["-M q35,help", "unsupported machine type; use -M nitro, which is the default"],
    ["-accel kvm,help", "an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default"],
  ])("help: %s is refused, because there is no such type", (words, why) => {
    expect(userErrorOf(() => parseCommandLine(words.split(" "), noFile)).why).toBe(why);
  });

  test.each(["-help", "--help", "-h"])("help: %s prints help", (word) => {
    expect(asked(word)).toBe("subcommand -help");
  });

  test("help and version: the first one counts, wherever it is", () => {
    expect(asked("-kernel", "x", "-version", "-help")).toBe("subcommand version -qemu");
    expect(asked("-m", "nonsense", "-help")).toBe("subcommand -help");
  });

  test("help: is not recognized in the argument of another option", () => {
    expect(asked("-kernel", "x", "-append", "-h")).toBe("a launch");
    expect(asked("-kernel", "help")).toBe("a launch");
    expect(asked("-kernel", "x", "-append", "help")).toBe("a launch");
  });

  test("help: an unknown option is reported before help is printed, as in QEMU", () => {
    expect(userErrorOf(() => parseCommandLine(["-help", "-nosuch"], noFile)).what).toBe("-nosuch");
  });
});

describe("first argument", () => {
  test("first argument: without a dash it is a subcommand, with all that follows", () => {
    expect(asked("nosuch", "-m", "x")).toBe("subcommand nosuch -m x");
  });

  test("argument without a dash: after an option it is not a subcommand", () => {
    expect(userErrorOf(() => parseCommandLine(["-m", "1G", "eif"], noFile)).what).toBe("eif");
  });
});
