import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { type CommandSyntax, scanArguments } from "../../../src/cli/argv.ts";
import { LAUNCH_SYNTAX } from "../../../src/cli/command-line.ts";
import { refusalOf } from "../../../src/cli/options/refused.ts";
import { LAUNCH_OPTIONS } from "../../../src/cli/options/table.ts";
import { userErrorOf } from "../../support/error-of.ts";

/** The options of a launch in their order: name, as typed, value. */
function scanned(...args: string[]) {
  return scanArguments(args, LAUNCH_SYNTAX).options.map(({ name, dashed, value }) => [name, dashed, value]);
}

function launchError(...args: string[]) {
  return userErrorOf(() => scanArguments(args, LAUNCH_SYNTAX));
}

describe("options", () => {
  test("options: one dash and two are the same", () => {
    expect(scanned("-kernel", "a", "--kernel", "b")).toEqual([
      ["kernel", "-kernel", "a"],
      ["kernel", "--kernel", "b"],
    ]);
  });

  test("options: an alias is the same option, kept as it was typed", () => {
    expect(scanned("-M", "nitro", "--machine", "nitro", "-h")).toEqual([
      ["machine", "-M", "nitro"],
      ["machine", "--machine", "nitro"],
      ["help", "-h", ""],
    ]);
  });

  test("options: repeats are kept in their order", () => {
    expect(scanned("-m", "1", "-smp", "2", "-m", "3").map(([, , value]) => value)).toEqual(["1", "2", "3"]);
  });

  test("options: the argument after an option belongs to it, whatever it looks like", () => {
    expect(scanned("-append", "-h", "-append", "--", "-append", "")).toEqual([
      ["append", "-append", "-h"],
      ["append", "-append", "--"],
      ["append", "-append", ""],
    ]);
  });

  test("options: case matters: -D and -d are two options", () => {
    expect(scanned("-D", "file", "-d", "vsock").map(([name]) => name)).toEqual(["D", "d"]);
  });

  test("options: no arguments are no options", () => {
    expect(scanned()).toEqual([]);
  });

  test.each(LAUNCH_OPTIONS.map((option) => [option.name, option.argument] as const))(
    "options: -%s is known and has the argument that help shows",
    (name, argument) => {
      const args = argument === undefined ? [`-${name}`] : [`-${name}`, "x"];
      expect(scanned(...args)).toEqual([[name, `-${name}`, argument === undefined ? "" : "x"]]);
    },
  );

  test.each(LAUNCH_OPTIONS.filter((option) => option.argument !== undefined).map((option) => option.name))(
    "options: -%s without its argument is refused",
    (name) => {
      const { what, why, hint } = launchError("-nographic", `--${name}`);
      expect([what, why]).toEqual([`--${name}`, "requires an argument"]);
      expect(hint).toStartWith(`--${name} `);
    },
  );
});

describe("invalid arguments", () => {
  const HELP = "nitro -help lists the options";
  test.each([
    ["-nosuch", HELP],
    ["--nosuch", HELP],
    ["---m", HELP],
    ["--", HELP],
    ["-KERNEL", "did you mean -kernel?"],
    ["-Append", "did you mean -append?"],
    ["-m=512M", "write the argument separately: -m 512M"],
    ["--kernel=x.eif", "write the argument separately: -kernel x.eif"],
    ["-M=nitro", "write the argument separately: -machine nitro"],
    ["-kernelx", "did you mean -kernel?"],
    ["-krenel", "did you mean -kernel?"],
    ["-intrd", "did you mean -initrd?"],
    ["-pid-file", "did you mean -pidfile?"],
    ["-q", HELP],
    ["-toString", HELP],
  ])("invalid argument: %s", (argument, hint) => {
    expect(launchError(argument)).toEqual({ what: argument, why: "invalid option", hint });
  });

  test.each([
    ["disk.img", "disk.img", "disk.img"],
    ["-", "-", "-"],
    ["", "''", "FILE"],
  ])("invalid argument: one without a dash: %p", (argument, what, file) => {
    expect(launchError("-m", "1G", argument)).toEqual({
      what,
      why: "QEMU reads an argument without a dash as a disk image, and an enclave has no disks",
      hint: `if it is the image to boot: nitro -kernel ${file}`,
    });
  });
});

/** QEMU's own options that an enclave cannot have (qemu-options.hx), by the headings of its help. */
const QEMU_OPTIONS = `
  numa set global boot mem-path mem-prealloc k audio audiodev device   fda fdb hda hdb hdc hdd cdrom blockdev drive mtdblock sd snapshot fsdev virtfs iscsi usb usbdevice
  spice full-screen g vnc no-fd-bootchk acpitable smbios netdev nic net tpmdev
  bios pflash shim dtb compat fw_cfg parallel debugcon preconfig overcommit gdb dfilter
  seed L enable-kvm xen-domid xen-attach xen-domid-restrict action loadvm option-rom
  rtc icount watchdog-action incoming only-migratable prom-env semihosting
  semihosting-config old-param trace plugin qtest qtest-log async-teardown   dump-vmstate enable-sync-profile perfmap jitdump s`
  .trim()
  .split(/\s+/);

describe("subcommand", () => {
  const syntax: CommandSyntax = {
    options: [{ name: "memory", alias: "m", argument: "SIZE" }, { name: "json" }],
    help: "nitro pool -help",
    equalsValue: true,
  };

  test("subcommand: accepts -x=V for -x V, and keeps what follows the first equals sign", () => {
    expect(scanArguments(["-memory=1G", "--m", "2G", "--memory=a=b"], syntax).options).toEqual([
      { name: "memory", dashed: "-memory", value: "1G" },
      { name: "memory", dashed: "--m", value: "2G" },
      { name: "memory", dashed: "--memory", value: "a=b" },
    ]);
  });

  test("subcommand: returns the arguments that belong to no option", () => {
    expect(scanArguments(["status", "-json", "-", ""], syntax)).toEqual({
      options: [{ name: "json", dashed: "-json", value: "" }],
      operands: ["status", "-", ""],
    });
  });

  test.each([
    ["--json=on", "--json", "accepts no argument", "write --json alone"],
    ["--memroy=1G", "--memroy", "invalid option", "did you mean --memory?"],
    ["-jsno", "-jsno", "invalid option", "did you mean -json?"],
    ["-q", "-q", "invalid option", "nitro pool -help lists the options"],
    ["-memory", "-memory", "requires an argument", "-memory SIZE"],
  ])("subcommand: refuses %s", (argument, what, why, hint) => {
    expect(userErrorOf(() => scanArguments([argument], syntax))).toEqual({ what, why, hint });
  });
});

describe("command line", () => {
  const launchOption = fc.constantFrom(...LAUNCH_OPTIONS).chain(({ name, argument }) =>
    fc.record({
      name: fc.constant(name),
      dashes: fc.constantFrom("-", "--"),
      value: argument === undefined ? fc.constant(undefined) : fc.string(),
    }),
  );

  test("command line: is split into the options that it was put together from", () => {
    fc.assert(
      fc.property(fc.array(launchOption, { maxLength: 8 }), (options) => {
        const args = options.flatMap(({ name, dashes, value }) =>
          value === undefined ? [`${dashes}${name}`] : [`${dashes}${name}`, value],
        );
        expect(scanned(...args)).toEqual(
          options.map(({ name, dashes, value = "" }) => [name, `${dashes}${name}`, value]),
        );
      }),
    );
  });
});

describe("refused QEMU options", () => {
  test.each(QEMU_OPTIONS)("refused option: -%s is refused with the reason", (name) => {
    const { why } = launchError(`-${name}`, "x");
    expect(why).not.toBe("invalid option");
    expect(why).toMatch(/^(an enclave|an enclave's|only the nitro|this version)/);
    expect(refusalOf(name)?.why).toBe(why);
  });

  test.each([
    ["drive", "an enclave has no disks", "put the files into the initrd, or send them over vsock"],
    [
      "netdev",
      "an enclave has no network card",
      "vsock is its only connection: run a proxy on the parent instance",
    ],
    ["device", "an enclave has no devices but its CPUs, its memory, vsock and the debug console", undefined],
    ["vnc", "an enclave has no display", "its console goes to stdout, or to -serial file:PATH"],
    ["bios", "an enclave has no firmware and boots nothing but its image", "use -kernel and -initrd"],
    [
      "enable-kvm",
      "only the nitro accelerator launches an enclave",
      "use -accel nitro, which is the default",
    ],
    ["gdb", "an enclave's memory and CPUs cannot be seen or moved from the parent", undefined],
  ])("refused option: -%s: %s", (name, why, hint) => {
    expect(launchError(`--${name}`)).toEqual({ what: `--${name}`, why, hint });
  });

  test("refused option: none of them is also an option of a launch", () => {
    const names = LAUNCH_OPTIONS.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(names.filter((name) => refusalOf(name) !== undefined)).toEqual([]);
  });

  test("refused option: the empty name is not one of them", () => {
    expect(refusalOf("")).toBeUndefined();
  });
});
