/** Hosts whose fault is in the files of the launch: the image, and what it writes. */
import { afterAll, describe, test } from "bun:test";
import { createHash } from "node:crypto";
import { eifOf, fakeKernel } from "../launch/images.ts";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectMended, PATIENCE_MS } from "./broken-host.ts";

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
/** Extended once with what is measured, which is the kernel alone: its command line is empty, and it has no ramdisk. */
const SOUND_PCR0 = sha384(Buffer.concat([Buffer.alloc(48), sha384(fakeKernel(5000))])).toString("hex");
const locked = here.path("locked.pid");

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a damaged image",
    scenario: READY,
    options: ["-kernel", damaged],
    byHand: `cp ${sound} ${damaged}`,
    faults: [
      {
        subject: "image",
        text: /^-kernel .*damaged\.eif: not an EIF that could start: its CRC-32 is 0x/,
        mend: "",
      },
    ],
  },
  {
    name: "an image for another architecture",
    scenario: READY,
    options: ["-kernel", foreign],
    byHand: `cp ${sound} ${foreign}`,
    faults: [
      {
        subject: "image",
        text: /foreign\.eif: .*it is an image for aarch64, this machine is x86_64$/,
        mend: "",
      },
    ],
  },
  {
    name: "an image larger than -m",
    scenario: READY,
    options: ["-kernel", large, "-m", "80M"],
    faults: [
      {
        subject: "memory",
        text: /^-m 80M: the image has \d+ bytes and is loaded 8M into the enclave's memory$/,
        mend: "-m 90M",
      },
    ],
  },
  {
    name: "memory of a part of a huge page",
    scenario: READY,
    options: ["-m", "127M"],
    faults: [
      {
        subject: "memory",
        text: /^-m 127M: 133169152 bytes are not whole huge pages of 2 MiB$/,
        mend: "-m 128M",
      },
    ],
  },
  {
    name: "another image than the one that is expected",
    scenario: READY,
    options: ["-kernel", strange, "-accel", `nitro,expect-pcr0=${SOUND_PCR0}`],
    byHand: `cp ${sound} ${strange}`,
    faults: [
      {
        subject: "image",
        text: new RegExp(
          `^-accel nitro,expect-pcr0=: PCR0 of the image is [0-9a-f]{96}, not ${SOUND_PCR0}; nothing`,
        ),
        mend: "",
      },
    ],
  },
  {
    name: "no directory for the pid file",
    scenario: READY,
    options: ["-pidfile", "run/nitro/app.pid"],
    faults: [
      {
        subject: "files",
        text: "there is no directory run/nitro/",
        mend: "mkdir -p run/nitro/",
      },
    ],
  },
  {
    name: "the pid file of another launcher",
    scenario: READY,
    options: ["-pidfile", locked],
    before: `flock -F -x ${locked} sleep 600 & until grep -qs FLOCK /proc/locks && ! flock -n ${locked} true; do sleep 0.05; done`,
    faults: [
      { subject: "files", text: /^-pidfile .*: another launcher that runs holds it/, mend: /^kill \d+$/ },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("files", () => {
  for (const host of HOSTS)
    test(host.name, () => expectMended(here, host).then(() => undefined), PATIENCE_MS);
});
