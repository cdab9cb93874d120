/** `nitro eif build`; its images are read by the tests' own reader. */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { version } from "../../../package.json" with { type: "json" };
import { payload, readEifFile } from "./eif-file.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const COMMAND_LINE = "console=ttyS0 reboot=k";

describe("with -like-qemu", () => {
  test.each([
    [
      ["-initrd", here.initrd, "-append", COMMAND_LINE],
      "c0cd8f528ce449ea4fdb83a634cefcc4768c7c4d973e57a4f7f18c9cae110a9f",
    ],
    [[], "7f9badca152ccb0f15a9032214da5a3058f1597a977f343e7295e8566a64ff5c"],
  ])("-like-qemu: the image equals QEMU 11.1's byte for byte: %j", (args, digest) => {
    here.done(["build", "-like-qemu", "-o", "qemu.eif", "-arch", "x86_64", "-kernel", here.kernel, ...args]);
    expect(sha256(here.path("qemu.eif"))).toBe(digest);
  });

  test("-like-qemu: further ramdisks are appended, and options about header and metadata are refused", () => {
    const args = ["build", "-like-qemu", "-o", "several.eif", "-kernel", here.kernel, "-initrd", here.initrd];
    here.done([...args, "-M", `nitro,ramdisk=${here.second}`]);
    const file = readEifFile(here.path("several.eif"));
    expect(file.names).toEqual(["kernel", "cmdline", "ramdisk", "ramdisk", "metadata"]);
    expect([file.memory, file.cpus, payload(file, "metadata").toString()]).toEqual([0n, 0n, "{}"]);
    for (const option of ["-name", "-image-version", "-metadata", "-m", "-smp"]) {
      expect(here.refused([...args, option, "1"])).toBe(`${option}: conflicts with -like-qemu`);
    }
  });
});

describe("eif build", () => {
  const ramdisks = [
    "-initrd",
    here.initrd,
    "-M",
    `nitro,ramdisk=${here.second}`,
    "-machine",
    `ramdisk=${here.third}`,
  ];

  test("eif build: an image has AWS's section order, the defaults and its PCRs", () => {
    const out = here.done([
      "build",
      "-o",
      "aws.eif",
      "-kernel",
      here.kernel,
      ...ramdisks,
      "-append",
      COMMAND_LINE,
    ]);
    const file = readEifFile(here.path("aws.eif"));
    expect(file.names).toEqual(["kernel", "cmdline", "metadata", "ramdisk", "ramdisk", "ramdisk"]);
    expect([file.version, file.flags, file.memory, file.cpus]).toEqual([4, 0, 1024n ** 3n, 2n]);
    expect(payload(file, "cmdline").toString()).toBe(COMMAND_LINE);
    const content = [here.kernel, here.initrd, here.second, here.third].map((path) => readFileSync(path));
    const order = [0, 3, 4, 5].map((i) => file.payloads[i]);
    expect(order.map((bytes, i) => bytes?.equals(content[i] ?? Buffer.alloc(0)))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(out).toBe(
      `aws.eif: ${file.bytes.length} bytes (1 MiB) for x86_64\n${file.pcrs.map((pcr, i) => `PCR${i} ${pcr}\n`).join("")}`,
    );
  });

  test("eif build: an image with one ramdisk has the known PCRs, although its sections are in another order", () => {
    const known =
      "940c28746aa8f525df49dbf0647efecd2fc9edda8d671e6f652bb45d50de0bb17d0f03fe502bde2cb876e642389fb0e9";
    const out = here.done([
      "build",
      "-json",
      "-o",
      "one.eif",
      "-kernel",
      here.kernel,
      "-initrd",
      here.initrd,
      "-append",
      COMMAND_LINE,
    ]);
    const { Measurements } = JSON.parse(out);
    expect(Measurements).toEqual({
      HashAlgorithm: "Sha384 { ... }",
      PCR0: known,
      PCR1: known,
      PCR2: "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a",
    });
    expect(readEifFile(here.path("one.eif")).pcrs).toEqual([known, known, Measurements.PCR2]);
  });

  test("eif build: an image for aarch64 has the flag of that architecture", () => {
    here.done(["build", "-arch", "aarch64", "-o", "arm.eif", "-kernel", here.image, ...ramdisks]);
    const file = readEifFile(here.path("arm.eif"));
    expect([file.flags, file.names[0], file.payloads[0]?.equals(readFileSync(here.image))]).toEqual([
      1,
      "kernel",
      true,
    ]);
    expect(here.refused(["build", "-arch", "x86_64", "-o", "no.eif", "-kernel", here.image])).toStartWith(
      `-kernel ${here.image}: it is an arm64 Image; an enclave on x86_64 boots an x86 bzImage`,
    );
  });

  test("eif build: an image of a compressed arm64 kernel contains the flat Image", () => {
    const packed = here.file("Image.gz", Bun.gzipSync(readFileSync(here.image)));
    here.done(["build", "-arch", "aarch64", "-o", "packed.eif", "-kernel", packed, "-name", "Image"]);
    here.done(["build", "-arch", "aarch64", "-o", "flat.eif", "-kernel", here.image]);
    expect(sha256(here.path("packed.eif"))).toBe(sha256(here.path("flat.eif")));
  });

  test("eif build: accepts any kernel with any-kernel=on, with a warning", () => {
    const odd = here.file("odd", "not a kernel");
    const args = ["build", "-o", "odd.eif", "-kernel", odd];
    expect(here.refused(args)).toStartWith(`-kernel ${odd}: it is a text file; an enclave on `);
    const { err, status } = here.eif([...args, "-M", "nitro,any-kernel=on"]);
    expect([status, err]).toEqual([0, expect.stringContaining("warning: ")]);
    expect(readEifFile(here.path("odd.eif")).payloads[0]?.toString()).toBe("not a kernel");
  });

  test("eif build: an image can have no ramdisk and an empty command line", () => {
    here.done(["build", "-o", "bare.eif", "-arch", "x86_64", "-kernel", here.kernel]);
    const file = readEifFile(here.path("bare.eif"));
    expect(file.names).toEqual(["kernel", "cmdline", "metadata"]);
    expect(payload(file, "cmdline").length).toBe(0);
  });
});

describe("metadata", () => {
  const of = (name: string) => JSON.parse(payload(readEifFile(here.path(name)), "metadata").toString());

  test("metadata: has AWS's keys in AWS's order, and no build time", () => {
    here.built("plain.eif");
    const metadata = of("plain.eif");
    expect(JSON.stringify(metadata)).toBe(
      JSON.stringify({
        ImageName: "bzImage",
        ImageVersion: "1.0",
        BuildMetadata: {
          BuildTime: "",
          BuildTool: "nitro",
          BuildToolVersion: version,
          OperatingSystem: "Generic Linux",
          KernelVersion: "Unknown version",
        },
        DockerInfo: null,
        CustomMetadata: null,
      }),
    );
    const first = sha256(here.path("plain.eif"));
    here.built("plain.eif");
    expect(sha256(here.path("plain.eif"))).toBe(first);
  });

  test("metadata: contains name, version and the user's JSON unchanged; the header has the given defaults", () => {
    const own = here.file("own.json", ' {"team": "a", "big": 12345678901234567890, "x": {"y": [1e3]}}\n');
    const more = ["-name", "größe", "-image-version", "2", "-metadata", own, "-m", "3G", "-smp", "4"];
    here.built("own.eif", ...more);
    const file = readEifFile(here.path("own.eif"));
    expect([file.memory, file.cpus]).toEqual([3n * 1024n ** 3n, 4n]);
    expect(payload(file, "metadata").toString()).toContain(
      '"CustomMetadata":{"team": "a", "big": 12345678901234567890, "x": {"y": [1e3]}}}',
    );
    const { ImageName, ImageVersion } = of("own.eif");
    expect([ImageName, ImageVersion]).toEqual(["größe", "2"]);
  });

  test("metadata: contains the version that the kernel states", () => {
    const bytes = new Uint8Array(readFileSync(here.kernel));
    bytes.set([0x00, 0x10], 0x20e);
    bytes.set(new TextEncoder().encode("6.12.57-test (a@b) #1 SMP\0"), 0x1200);
    here.done(["build", "-o", "version.eif", "-kernel", here.file("versioned", bytes)]);
    expect(of("version.eif").BuildMetadata.KernelVersion).toBe("6.12.57-test");
  });

  test("metadata: has SOURCE_DATE_EPOCH as its build time if it is valid", () => {
    const args = ["build", "-o", "dated.eif", "-arch", "x86_64", "-kernel", here.kernel];
    here.done(args, { env: { SOURCE_DATE_EPOCH: "1720545398" } });
    expect(of("dated.eif").BuildMetadata.BuildTime).toBe("2024-07-09T17:16:38+00:00");
    for (const odd of ["", "now", "-1", "1.5", "0x10", "253402300800", "9".repeat(400)]) {
      expect(here.refused(args, { env: { SOURCE_DATE_EPOCH: odd } })).toBe(
        `SOURCE_DATE_EPOCH=${odd}: expects a whole number of seconds since 1970`,
      );
    }
  });

  test.each([
    ["an array", "[1]", "not a JSON object ({ … })"],
    ["not JSON", "{a: 1}", "not a JSON object ({ … })"],
    ["empty", "", "not a JSON object ({ … })"],
    ["not UTF-8", Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "not UTF-8 text"],
    ["too large", `{"a":"${"x".repeat(4096)}"}`, "larger than 4096 bytes, the limit"],
  ])("-metadata: a file that is %s is refused", (_, text, why) => {
    const own = here.file("bad.json", text);
    expect(
      here.refused(["build", "-o", "no.eif", "-arch", "x86_64", "-kernel", here.kernel, "-metadata", own]),
    ).toBe(`-metadata ${own}: ${why}`);
  });

  test("-metadata: exactly 4,096 bytes are accepted", () => {
    here.built("full.eif", "-metadata", here.file("full.json", `{"a":"${"x".repeat(4088)}"}`));
    expect(of("full.eif").CustomMetadata.a.length).toBe(4088);
  });
});

describe("output", () => {
  test("output: - is standard output, with the same bytes; messages go to standard error", () => {
    here.built("file.eif");
    const args = [
      "eif",
      "build",
      "-o",
      "-",
      "-arch",
      "x86_64",
      "-kernel",
      here.kernel,
      "-initrd",
      here.initrd,
    ];
    const nitro = new URL("../../../dist/nitro", import.meta.url).pathname;
    const { stdout, stderr, exitCode } = Bun.spawnSync([nitro, ...args], { cwd: here.directory });
    expect(exitCode).toBe(0);
    expect(stdout.equals(readFileSync(here.path("file.eif")))).toBe(true);
    expect(stderr.toString()).toStartWith("nitro: standard output: ");
    expect(here.refused(["build", "-o", "-", "-json", "-arch", "x86_64", "-kernel", here.kernel])).toBe(
      "-json: standard output is used for the image",
    );
  });

  test("output: a device or a pipe is written, and not replaced", () => {
    here.openssl("version");
    Bun.spawnSync(["mkfifo", here.path("fifo")]);
    const reader = Bun.spawn(["sha256sum", here.path("fifo")], { stdout: "pipe" });
    here.done(["build", "-o", here.path("fifo"), "-arch", "x86_64", "-kernel", here.kernel]);
    here.done(["build", "-o", "bare2.eif", "-arch", "x86_64", "-kernel", here.kernel]);
    here.done(["build", "-o", "/dev/null", "-arch", "x86_64", "-kernel", here.kernel]);
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
    return new Response(reader.stdout).text().then((text) => {
      expect(text.split(" ")[0]).toBe(sha256(here.path("bare2.eif")));
    });
  });

  test("output: an input file is refused by any name, and stays unchanged", () => {
    const pair = here.pair({ name: "input" });
    const own = here.file("input.json", "{}");
    symlinkSync(here.kernel, here.path("link"));
    linkSync(here.initrd, here.path("hard"));
    const args = [
      "-kernel",
      here.kernel,
      "-initrd",
      here.initrd,
      "-M",
      `ramdisk=${here.second}`,
      "-metadata",
      own,
    ];
    const signing = ["-private-key", pair.key, "-signing-certificate", pair.certificate];
    const inputs = ["bzImage", "./bzImage", "link", "hard", here.second, own, pair.key, pair.certificate];
    const before = inputs.map((name) => sha256(name.startsWith("/") ? name : here.path(name)));
    for (const name of inputs) {
      expect(here.refused(["build", "-o", name, ...args, ...signing])).toBe(
        `-o ${name}: it is one of the input files`,
      );
    }
    expect(inputs.map((name) => sha256(name.startsWith("/") ? name : here.path(name)))).toEqual(before);
  });

  test("output: keeps the mode of the file that it replaces, and follows a symbolic link", () => {
    here.file("old.eif", "old");
    chmodSync(here.path("old.eif"), 0o640);
    symlinkSync("old.eif", here.path("current.eif"));
    here.built("current.eif");
    expect(readEifFile(here.path("old.eif")).names.length).toBe(4);
    expect(statSync(here.path("old.eif")).mode & 0o777).toBe(0o640);
  });

  test("output: is unchanged after a failure, and no temporary file is left", () => {
    here.file("kept.eif", "kept");
    const before = here.names();
    const args = ["build", "-o", "kept.eif", "-arch", "x86_64", "-kernel", here.kernel];
    for (const more of [
      ["-initrd", "missing"],
      ["-initrd", here.directory],
      ["-initrd", "/dev/zero"],
      ["-m", "x"],
    ]) {
      here.refused([...args, ...more]);
    }
    expect(here.refused(["build", "-o", "nowhere/x.eif", "-arch", "x86_64", "-kernel", here.kernel])).toBe(
      "-o nowhere/x.eif: directory nowhere does not exist",
    );
    mkdirSync(here.path("directory"));
    expect(here.refused(["build", "-o", "directory", "-arch", "x86_64", "-kernel", here.kernel])).toBe(
      "-o directory: it is a directory",
    );
    expect(here.names()).toEqual([...before, "directory"].sort());
    expect(readFileSync(here.path("kept.eif"), "utf8")).toBe("kept");
  });

  test("output: a full device is reported", () => {
    expect(here.refused(["build", "-o", "/dev/full", "-arch", "x86_64", "-kernel", here.kernel])).toBe(
      "-o /dev/full: No space left on device (ENOSPC)",
    );
  });
});

describe("refused arguments", () => {
  const args = ["build", "-o", "no.eif", "-arch", "x86_64", "-kernel", here.kernel];
  test.each([
    [["build"], "-o: missing; it names the image to write"],
    [["build", "-o", "x"], "-kernel: missing; an image has a kernel"],
    [[...args, "-nosuch"], "-nosuch: invalid option"],
    [[...args, "-initrd"], "-initrd: requires an argument"],
    [[...args, "-kernel", "b"], "-kernel: is given twice"],
    [[...args, "extra"], "extra: unexpected argument"],
    [
      ["build", "-o", "no.eif", "-kernel", "k", "-arch", "mips"],
      "-arch mips: enclaves exist for x86_64 and aarch64",
    ],
    [[...args, "-M", "q35"], "-M q35: unsupported machine type; use -M nitro, which is the default"],
    [
      [...args, "-M", "nitro,smp.cpus=2"],
      "-M nitro,smp.cpus=2: 'smp.cpus' does not affect the contents of an image",
    ],
    [
      [...args, "-M", "nitro,any-kernel=2"],
      "-M nitro,any-kernel=2: Parameter 'any-kernel' expects 'on' or 'off'",
    ],
    [
      [...args, "-M", "nitro,,x"],
      "-M nitro,,x: unsupported machine type; use -M nitro, which is the default",
    ],
    [[...args, "-M", "nitro,=x"], "-M nitro,=x: Invalid parameter ''"],
    [[...args, "-m", "1X"], "-m 1X: expects a size: a number with k, M, G or T, in MiB without one"],
    [[...args, "-smp", "-1"], "-smp -1: expects a number of vCPUs, at most 4096"],
    [[...args, "-private-key", "k"], "-signing-certificate: missing; -private-key needs it"],
    [[...args, "-signing-certificate", "k"], "-private-key: missing; -signing-certificate needs it"],
    [[...args, "-initrd", "none"], "-initrd none: No such file or directory (ENOENT)"],
    [["nosuch"], "unknown command 'eif nosuch' (commands: build, describe, extract, pcr, sign, verify)"],
    [["toString"], "unknown command 'eif toString' (commands: build, describe, extract, pcr, sign, verify)"],
  ])("refused: %j", (typed, message) => {
    expect(here.refused(typed)).toBe(message);
    expect(here.names()).not.toContain("no.eif");
  });

  test("ramdisks: more than an image can hold are refused", () => {
    const many = Array.from({ length: 30 }, () => `ramdisk=${here.third}`).join(",");
    expect(here.refused([...args, "-M", many])).toBe(
      `-M ramdisk=${here.third}: 30 ramdisks are given, but an image holds at most 29`,
    );
    const most = Array.from({ length: 29 }, () => `ramdisk=${here.third}`).join(",");
    here.done(["build", "-o", "most.eif", "-arch", "x86_64", "-kernel", here.kernel, "-M", most]);
    expect(readEifFile(here.path("most.eif")).names.length).toBe(32);
  });

  test("input files: empty ones are refused", () => {
    const empty = here.file("empty", "");
    expect(here.refused(["build", "-o", "no.eif", "-kernel", empty])).toBe(
      `-kernel ${empty}: the file is empty`,
    );
    expect(here.refused([...args, "-initrd", empty])).toBe(`-initrd ${empty}: the file is empty`);
  });
});

test("help: lists every option, and each command has its own", () => {
  const help = here.done(["build", "-help"]);
  for (const option of [
    "  -o FILE\n",
    "  -kernel FILE\n",
    "  -initrd FILE\n",
    "  -append TEXT\n",
    "  -metadata FILE\n",
    "  -like-qemu\n",
    "  -json\n",
  ]) {
    expect(help).toContain(option);
  }
  for (const command of ["build", "describe", "extract", "pcr", "sign", "verify"]) {
    expect(here.done([command, "-h"])).toContain(`usage: nitro eif ${command} `);
    expect(here.done([])).toContain(`  nitro eif ${command} `);
  }
});
