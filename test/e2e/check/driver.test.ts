/** Hosts whose driver is missing, or whose device this user may not open. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { APT_INSTALL, type BrokenHost, expectFixable, TEST_TIMEOUT_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
const POOL_OF_DRIVER = {
  subject: "pool",
  text: "the CPU pool comes with the driver and is empty, unless it is configured at boot",
  fix: "nitro pool --cpus 2",
};
const UBUNTU = { "/etc/os-release": 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n' };
const FEDORA = { "/etc/os-release": "ID=fedora\nVERSION_ID=42\n" };
const AMAZON_2 = { "/etc/os-release": 'ID="amzn"\nID_LIKE="centos rhel fedora"\nVERSION_ID="2"\n' };
const missing = { nitro_enclaves: "missing" as const };
/** A user who exists on this parent only; setpriv gives the process its groups, as a login does. */
const USERS = { "/etc/passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n" };
const AS_ALICE = "setpriv --reuid 1000 --regid 1000 --init-groups";

const HOSTS: readonly BrokenHost[] = [
  {
    name: "an instance that was started without enclaves",
    scenario: { ...READY, host: { enclaveOption: false } },
    manualFix:
      "aws ec2 modify-instance-attribute --instance-id i-0123456789abcdef0 --enclave-options Enabled=true",
    failures: [
      {
        subject: "instance",
        text: "this m5.xlarge was started without Nitro Enclaves (no PCI device 1d0f:e4c1)",
        fix: "",
      },
    ],
  },
  {
    name: "the driver unloaded",
    scenario: { ...READY, host: { modules: { nitro_enclaves: "unloaded" } } },
    failures: [
      { subject: "driver", text: "the driver is not loaded", fix: "modprobe nitro_enclaves" },
      POOL_OF_DRIVER,
    ],
  },
  {
    name: "a kernel with the driver in another package (Ubuntu)",
    scenario: { ...READY, files: UBUNTU, host: { kernel: "6.8.0-1021-aws", modules: missing } },
    failures: [
      {
        subject: "driver",
        text: "kernel 6.8.0-1021-aws has no module nitro_enclaves",
        fix: `${APT_INSTALL} linux-modules-extra-6.8.0-1021-aws && modprobe nitro_enclaves`,
      },
      POOL_OF_DRIVER,
    ],
  },
  {
    name: "a kernel with the driver in another package (Fedora)",
    scenario: { ...READY, files: FEDORA, host: { kernel: "6.14.0-63.fc42.x86_64", modules: missing } },
    failures: [
      {
        subject: "driver",
        text: "kernel 6.14.0-63.fc42.x86_64 has no module nitro_enclaves",
        fix: "dnf install -y kernel-modules-extra-6.14.0-63.fc42.x86_64 && modprobe nitro_enclaves",
      },
      POOL_OF_DRIVER,
    ],
  },
  {
    name: "a kernel older than the driver (Amazon Linux 2)",
    scenario: {
      ...READY,
      files: AMAZON_2,
      host: { kernel: "4.14.101-91.76.amzn2.x86_64", modules: missing },
    },
    manualFix: "reboot",
    manualFixAfter: 1,
    failures: [
      {
        subject: "driver",
        text: "kernel 4.14.101-91.76.amzn2.x86_64 is older than the driver (Linux 5.10) and has no module nitro_enclaves",
        fix: "amazon-linux-extras install -y kernel-5.10",
      },
      POOL_OF_DRIVER,
    ],
  },
  {
    name: "a user who is not in the device's group",
    scenario: { ...READY, files: USERS, deviceGid: 990 },
    as: AS_ALICE,
    failures: [
      {
        subject: "device",
        text: "the device belongs to group ne, and alice is not in it",
        fix: "sudo usermod -aG ne alice",
      },
    ],
  },
  {
    name: "a user who joined the device's group after the login",
    scenario: { ...READY, files: USERS, deviceGid: 990 },
    before: "usermod -aG ne alice",
    as: "setpriv --reuid 1000 --regid 1000 --clear-groups",
    // What the advice says: a process that has the group, as after a login.
    fixedAs: AS_ALICE,
    failures: [
      {
        subject: "device",
        text: "the device belongs to group ne, which alice joined after this login",
        fix: "",
      },
    ],
  },
  {
    name: "a user, and a device that only root may open",
    scenario: { ...READY, files: USERS, deviceMode: "0600" },
    as: AS_ALICE,
    failures: [
      {
        subject: "device",
        text: "only root may open the device (group root, mode 0600)",
        fix:
          "sudo sh -c 'groupadd -f ne && chgrp ne /dev/nitro_enclaves && chmod 660 /dev/nitro_enclaves && " +
          "usermod -aG ne alice'",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("nitro check, driver: reports and fixes", () => {
  for (const host of HOSTS)
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});
