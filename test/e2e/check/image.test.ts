/** Launches whose image or output files are wrong. */
import { afterAll, describe, test } from "bun:test";
import { createHash } from "node:crypto";
import { eifOf, fakeKernel } from "../launch/images.ts";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectFixable, TEST_TIMEOUT_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

function sha384(bytes: Uint8Array): Buffer {
  return createHash("sha384").update(bytes).digest();
}

const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
const parts = [
  { type: "kernel", bytes: fakeKernel(5000) },
  { type: "cmdline", bytes: new Uint8Array(0) },
  { type: "metadata", bytes: new TextEncoder().encode("{}") },
] as const;
const whole = eifOf(parts);
const damaged = here.file("damaged.eif", whole.with(3000, (whole[3000] ?? 0) ^ 1));
const foreign = here.file("foreign.eif", eifOf(parts, 1));
const sound = here.file("sound.eif", whole);
const large = here.file(
  "large.eif",
  eifOf([{ ...parts[0], bytes: fakeKernel(80 * 2 ** 20) }, ...parts.slice(1)]),
);
const strange = here.file(
  "strange.eif",
  eifOf([{ ...parts[0], bytes: fakeKernel(6000) }, ...parts.slice(1)]),
);
/** PCR0 extended once, with the kernel: the command line is empty, and there is no ramdisk. */
const SOUND_PCR0 = sha384(Buffer.concat([Buffer.alloc(48), sha384(fakeKernel(5000))])).toString("hex");
const locked = here.path("locked.pid");

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a damaged image",
    scenario: READY,
    options: ["-kernel", damaged],
    manualFix: `cp ${sound} ${damaged}`,
    failures: [
      {
        subject: "image",
        text: /^-kernel .*damaged\.eif: not a valid EIF: the CRC-32 of the file is 0x/,
        fix: "",
      },
    ],
  },
  {
    name: "an image for another architecture",
    scenario: READY,
    options: ["-kernel", foreign],
    manualFix: `cp ${sound} ${foreign}`,
    failures: [
      {
        subject: "image",
        text: /foreign\.eif: .*the image is for aarch64, this instance is x86_64$/,
        fix: "",
      },
    ],
  },
  {
    name: "an image larger than -m",
    scenario: READY,
    options: ["-kernel", large, "-m", "80M"],
    failures: [
      {
        subject: "memory",
        text: /^-m 80M: the image has \d+ bytes and is loaded at offset 8M$/,
        fix: "-m 90M",
      },
    ],
  },
  {
    name: "-m with part of a huge page",
    scenario: READY,
    options: ["-m", "127M"],
    failures: [
      {
        subject: "memory",
        text: /^-m 127M: 133169152 bytes are not a multiple of the huge page size \(2 MiB\)$/,
        fix: "-m 128M",
      },
    ],
  },
  {
    name: "an image with another PCR0 than expected",
    scenario: READY,
    options: ["-kernel", strange, "-accel", `nitro,expect-pcr0=${SOUND_PCR0}`],
    manualFix: `cp ${sound} ${strange}`,
    failures: [
      {
        subject: "image",
        text: new RegExp(
          `^-accel nitro,expect-pcr0=: the image's PCR0 is [0-9a-f]{96}, not ${SOUND_PCR0}; no memory`,
        ),
        fix: "",
      },
    ],
  },
  {
    name: "a pid file in a directory that does not exist",
    scenario: READY,
    options: ["-pidfile", "run/nitro/app.pid"],
    failures: [
      {
        subject: "files",
        text: "directory run/nitro/ does not exist",
        fix: "mkdir -p run/nitro/",
      },
    ],
  },
  {
    name: "a pid file in use by another launcher",
    scenario: {
      ...{ topology: "m5.2xlarge", pool: "1-2,5-6", hugePages: 128 },
      enclaves: [{ liveMs: null, heartbeatMs: null }],
    },
    options: ["-pidfile", locked],
    before:
      `nitro -name first -kernel ${here.eif} -m 64M -pidfile ${locked} 2>first.err & echo $! >holder; ` +
      "until grep -q ' started: ' first.err; do sleep 0.05; done",
    manualFix: "kill $(cat holder); wait $(cat holder)",
    failures: [
      {
        subject: "files",
        text: /^-pidfile .*: in use by another launcher: first \(nitro, pid \d+, CID 16\)$/,
        fix: "",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("nitro check, files: reports and fixes", () => {
  for (const host of HOSTS)
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});
