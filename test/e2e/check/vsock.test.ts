/** Hosts whose vsock does not work, or whose port is another's. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectMended, PATIENCE_MS } from "./broken-host.ts";

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
/** Holds port 9000 as QEMU does, and shares it with nobody. */
const FOREIGN =
  "socat VSOCK-LISTEN:9000,fork - </dev/null >/dev/null 2>&1 & " +
  "until ss --vsock -lnpH | grep -q ':9000 '; do sleep 0.05; done";

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a kernel without vsock",
    scenario: { ...READY, files: UBUNTU, host: { kernel: "6.8.0-1021-aws", modules: absent } },
    faults: [
      {
        subject: "vsock",
        text: "the kernel 6.8.0-1021-aws has no module vsock",
        mend: "apt-get install -y linux-modules-extra-6.8.0-1021-aws && modprobe vmw_vsock_virtio_transport",
      },
    ],
  },
  {
    name: "vsock that nothing carries",
    scenario: { ...READY, host: { modules: off } },
    // Nothing is refused: the enclave starts, and ends without having been heard of.
    launchStatus: 3,
    faults: [
      {
        subject: "vsock",
        text: "nothing carries vsock to enclaves: the module vmw_vsock_virtio_transport is not loaded",
        mend: "modprobe vmw_vsock_virtio_transport",
      },
    ],
  },
  {
    name: "vsock that leads nowhere but to this machine",
    scenario: { ...READY, host: { modules: { ...off, vsock_loopback: "loaded" } } },
    launchStatus: 3,
    faults: [
      {
        subject: "vsock",
        text: /^nothing carries vsock to enclaves: /,
        mend: "modprobe vmw_vsock_virtio_transport",
      },
    ],
  },
  {
    name: "port 9000 of a program that does not share it",
    scenario: READY,
    before: FOREIGN,
    faults: [
      {
        subject: "port",
        text: "vsock port 9000 is in use by a program that does not share it",
        mend: "kill $(ss --vsock -lnpH | grep ':9000 ' | grep -o 'pid=[0-9]*' | cut -c5-)",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("vsock", () => {
  for (const host of HOSTS)
    test(host.name, () => expectMended(here, host).then(() => undefined), PATIENCE_MS);
});
