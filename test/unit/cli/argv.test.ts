import { describe, expect, test } from "bun:test";
import { scanArguments } from "../../../src/cli/argv.ts";
import { refusalOf } from "../../../src/cli/options/refused.ts";
import { LAUNCH_OPTIONS } from "../../../src/cli/options/table.ts";
import { userErrorOf } from "../../support/error-of.ts";

/** The words of occurrences, in order: name, as typed, value. */
function scanned(...words: string[]) {
  return scanArguments(words).map(({ name, dashed, value }) => [name, dashed, value]);
}

describe("options", () => {
  test("one dash and two are the same", () => {
    expect(scanned("-kernel", "a", "--kernel", "b")).toEqual([
      ["kernel", "-kernel", "a"],
      ["kernel", "--kernel", "b"],
    ]);
  });

  test("another name is the same option, told as it was typed", () => {
    expect(scanned("-M", "nitro", "--machine", "nitro", "-h")).toEqual([
      ["machine", "-M", "nitro"],
      ["machine", "--machine", "nitro"],
      ["help", "-h", ""],
    ]);
  });

  test("repeats stay, in order", () => {
    expect(scanned("-m", "1", "-smp", "2", "-m", "3").map(([, , value]) => value)).toEqual(["1", "2", "3"]);
  });

  test("the word after an option is its argument, whatever it looks like", () => {
    expect(scanned("-append", "-h", "-append", "--", "-append", "")).toEqual([
      ["append", "-append", "-h"],
      ["append", "-append", "--"],
      ["append", "-append", ""],
    ]);
  });

  test("letters' case counts: -D and -d are two options", () => {
    expect(scanned("-D", "file", "-d", "vsock").map(([name]) => name)).toEqual(["D", "d"]);
  });

  test("no words are no options", () => {
    expect(scanned()).toEqual([]);
  });

  test.each(LAUNCH_OPTIONS.map((option) => [option.name, option.argument] as const))(
    "-%s is known and takes what help says",
    (name, argument) => {
      const words = argument === undefined ? [`-${name}`] : [`-${name}`, "x"];
      expect(scanned(...words)).toEqual([[name, `-${name}`, argument === undefined ? "" : "x"]]);
    },
  );

  test.each(LAUNCH_OPTIONS.filter((option) => option.argument !== undefined).map((option) => option.name))(
    "-%s without its argument is refused",
    (name) => {
      const told = userErrorOf(() => scanArguments(["-nographic", `--${name}`]));
      expect([told.what, told.why]).toEqual([`--${name}`, "requires an argument"]);
      expect(told.hint).toStartWith(`--${name} `);
    },
  );
});

describe("what is no option", () => {
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
  ])("%s", (word, hint) => {
    expect(userErrorOf(() => scanArguments([word]))).toEqual({ what: word, why: "invalid option", hint });
  });

  test.each([
    ["disk.img", "disk.img", "disk.img"],
    ["-", "-", "-"],
    ["", "''", "FILE"],
  ])("a bare word %p", (word, what, file) => {
    expect(userErrorOf(() => scanArguments(["-m", "1G", word]))).toEqual({
      what,
      why: "a word without a dash is a disk image to QEMU, and an enclave has no disks",
      hint: `if it is the image: nitro -kernel ${file}`,
    });
  });
});

/** QEMU's own options that an enclave cannot have (qemu-options.hx), by what its help puts them under. */
const QEMU_OPTIONS = `
  numa add-fd set global boot mem-path mem-prealloc k audio audiodev device   fda fdb hda hdb hdc hdd cdrom blockdev drive mtdblock sd snapshot fsdev virtfs iscsi usb usbdevice
  spice vga full-screen g vnc no-fd-bootchk acpitable smbios netdev nic net tpmdev
  bios pflash shim dtb compat fw_cfg parallel debugcon preconfig overcommit gdb dfilter
  seed L enable-kvm xen-domid xen-attach xen-domid-restrict action loadvm option-rom
  rtc icount watchdog-action echr incoming only-migratable prom-env semihosting
  semihosting-config old-param trace plugin qtest qtest-log async-teardown   dump-vmstate enable-sync-profile perfmap jitdump s`
  .trim()
  .split(/\s+/);

describe("QEMU's options that an enclave cannot have", () => {
  test.each(QEMU_OPTIONS)("-%s is refused with the reason", (name) => {
    const { why } = userErrorOf(() => scanArguments([`-${name}`, "x"]));
    expect(why).not.toBe("invalid option");
    expect(why).toMatch(/^(an enclave|an enclave's|only the nitro|this version)/);
    expect(refusalOf(name)?.why).toBe(why);
  });

  test.each([
    ["drive", "an enclave has no disks", "put the files into the initrd, or send them over vsock"],
    ["netdev", "an enclave has no network card", "vsock is its only way out: run a proxy on the parent"],
    ["device", "an enclave has no devices but its CPUs, its memory, vsock and the debug console", undefined],
    ["vnc", "an enclave has no display", "its console goes to stdout, or to -serial file:PATH"],
    ["bios", "an enclave has no firmware and boots nothing but its image", "use -kernel and -initrd"],
    [
      "enable-kvm",
      "only the nitro accelerator launches an enclave",
      "use -accel nitro, which is the default",
    ],
    ["gdb", "an enclave's memory and CPUs cannot be seen or moved from the parent", undefined],
  ])("-%s: %s", (name, why, hint) => {
    expect(userErrorOf(() => scanArguments([`--${name}`]))).toEqual({ what: `--${name}`, why, hint });
  });

  test("none of them is also an option of a launch", () => {
    const names = LAUNCH_OPTIONS.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(names.filter((name) => refusalOf(name) !== undefined)).toEqual([]);
  });

  test("the empty name is not one of them", () => {
    expect(refusalOf("")).toBeUndefined();
  });
});
