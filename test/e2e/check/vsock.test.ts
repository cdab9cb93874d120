/** Hosts whose vsock does not work, or whose heartbeat port is in use. */
import { afterAll, describe, expect, test } from "bun:test";
import { launchAs, NITRO, notHere, Workplace } from "../launch/nitro.ts";
import {
  APT_INSTALL,
  type BrokenHost,
  type CheckJson,
  expectFixable,
  TEST_TIMEOUT_MS,
} from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
const UBUNTU = { "/etc/os-release": "ID=ubuntu\nID_LIKE=debian\n" };
const absent = {
  vsock: "missing" as const,
  vmw_vsock_virtio_transport_common: "missing" as const,
  vmw_vsock_virtio_transport: "missing" as const,
};
const off = {
  vmw_vsock_virtio_transport_common: "unloaded" as const,
  vmw_vsock_virtio_transport: "unloaded" as const,
};
/** Listens on port 9000 as QEMU does, without sharing it. */
const FOREIGN =
  "socat VSOCK-LISTEN:9000,fork - </dev/null >/dev/null 2>&1 & " +
  "until ss --vsock -lnpH | grep -q ':9000 '; do sleep 0.05; done";

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a kernel without vsock",
    scenario: { ...READY, files: UBUNTU, host: { kernel: "6.8.0-1021-aws", modules: absent } },
    failures: [
      {
        subject: "vsock",
        text: "kernel 6.8.0-1021-aws has no module vsock",
        fix: `${APT_INSTALL} linux-modules-extra-6.8.0-1021-aws && modprobe vmw_vsock_virtio_transport`,
      },
    ],
  },
  {
    name: "vsock without a transport",
    scenario: { ...READY, host: { modules: off } },
    // No call fails: the enclave starts, and exits without a heartbeat.
    launchStatus: 3,
    failures: [
      {
        subject: "vsock",
        text: "vsock has no transport to enclaves: module vmw_vsock_virtio_transport is not loaded",
        fix: "modprobe vmw_vsock_virtio_transport",
      },
    ],
  },
  {
    name: "vsock with the loopback transport only",
    scenario: { ...READY, host: { modules: { ...off, vsock_loopback: "loaded" } } },
    launchStatus: 3,
    failures: [
      {
        subject: "vsock",
        text: /^vsock has no transport to enclaves: /,
        fix: "modprobe vmw_vsock_virtio_transport",
      },
    ],
  },
  {
    name: "port 9000 in use by a program that does not share it",
    scenario: READY,
    before: FOREIGN,
    manualFix: "kill $(ss --vsock -lnpH | grep ':9000 ' | grep -o 'pid=[0-9]*' | cut -c5-)",
    failures: [
      {
        subject: "port",
        text: /^vsock port 9000 is in use by (another process|\S+ \(pid \d+\)), which does not share it$/,
        fix: "",
      },
    ],
  },
];

const ENCLAVE_WITHOUT_HEARTBEAT = { heartbeatMs: null, liveMs: null };

describe.concurrent.skipIf(notHere !== undefined)("nitro check, vsock", () => {
  test(
    "nitro check: names a launch in another network namespace that holds the port, with the time it may need",
    async () => {
      const first = `${NITRO} -kernel ${here.eif} -m 64M -smp 2 2>${here.path("first")} & first=$!`;
      const started = `until grep -q 'enclave started' ${here.path("first")}; do sleep 0.05; done`;
      const check = `unshare -n ${NITRO} check -json -kernel ${here.eif} -m 64M; kill $first; wait`;
      const result = await launchAs({
        command: ["sh", "-c", `${first}; ${started}; ${check}`],
        scenario: { ...READY, topology: "m5.2xlarge", pool: "1-2,5-6", enclave: ENCLAVE_WITHOUT_HEARTBEAT },
        limitSeconds: 240,
      });
      const { ready, findings } = JSON.parse(result.stdout) as CheckJson;
      const port = findings.find(({ subject }) => subject === "port");
      expect(port?.status).toBe("note");
      expect(port?.text).toMatch(
        /^vsock port 9000 is in use by nitro \(pid \d+, CID 16\), .* network namespace; .* up to 1\d\d s$/,
      );
      expect(ready).toBe(true);
    },
    TEST_TIMEOUT_MS,
  );

  test.each([
    ["local", "failure", "net.vsock.ns_mode=local"],
    ["global", "ok", "available"],
  ] as const)(
    "nitro check: a network namespace whose mode is %s is reported as %s",
    async (mode, status, text) => {
      const result = await launchAs({
        command: [NITRO, "check", "-json", "-kernel", here.eif, "-m", "64M"],
        scenario: { ...READY, files: { "/proc/sys/net/vsock/ns_mode": `${mode}\n` } },
      });
      const { findings } = JSON.parse(result.stdout) as CheckJson;
      const vsock = findings.find(({ subject }) => subject === "vsock");
      expect(vsock?.status).toBe(status);
      expect(vsock?.text).toContain(text);
    },
    TEST_TIMEOUT_MS,
  );
});

describe.concurrent.skipIf(notHere !== undefined)("nitro check, vsock: reports and fixes", () => {
  for (const host of HOSTS)
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});
