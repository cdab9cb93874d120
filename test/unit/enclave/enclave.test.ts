import { describe, expect, test } from "bun:test";
import { DEVICE_PATH, Enclave } from "../../../src/enclave/enclave.ts";
import { SyscallError } from "../../../src/sys/errors.ts";
import { Fd } from "../../../src/sys/files.ts";
import type { System } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

/** A driver that answers as the real one does and notes each call: descriptor, request, payload. */
function driver(): { system: System; calls: string[] } {
  const calls: string[] = [];
  const system = fakeLibc({
    ioctl: (fd, request, payload) => {
      if (!(payload instanceof Uint8Array)) throw new Error("an ioctl wants a payload");
      calls.push(`${fd} ${Number(request).toString(16)} ${Buffer.from(payload).toString("hex")}`);
      const view = new DataView(payload.buffer);
      if (request === 0x8008ae20) return 61;
      if (request === 0xc004ae21) view.setUint32(0, 3, true);
      if (request === 0xc010ae22) view.setBigUint64(8, 0x800000n, true);
      if (request === 0xc010ae24 && view.getBigUint64(8, true) === 0n) view.setBigUint64(8, 18n, true);
      return 0;
    },
    close: (fd) => {
      calls.push(`close ${fd}`);
      return 0;
    },
  });
  return { system, calls };
}

describe("enclave", () => {
  test("enclave: is created by the five ioctls, with the payloads of the header, and ends with its descriptor", () => {
    const { system, calls } = driver();
    {
      using enclave = Enclave.create(system, new Fd(system, 60));
      expect(enclave.fd).toBe(61);
      expect(enclave.imageOffset()).toBe(8n * 2n ** 20n);
      enclave.donate(0x7f0000000000, 0x4000000);
      expect(enclave.addVcpu()).toBe(3);
      expect(enclave.start(0n, true)).toBe(18n);
    }
    expect(calls).toEqual([
      `60 8008ae20 ${"00".repeat(8)}`,
      `61 c010ae22 01${"00".repeat(15)}`,
      `61 4018ae23 ${"00".repeat(8)}0000000400000000${"000000000" + "07f0000"}`,
      "61 c004ae21 00000000",
      `61 c010ae24 01${"00".repeat(15)}`,
      "close 61",
    ]);
  });

  test("enclave: production mode has no flag, and the requested CID is passed", () => {
    const { system, calls } = driver();
    using enclave = Enclave.create(system, new Fd(system, 60));
    expect(enclave.start(4242n, false)).toBe(4242n);
    expect(calls.at(-1)).toBe(`61 c010ae24 ${"00".repeat(8)}9210${"00".repeat(6)}`);
  });

  test("enclave: a refusal of the driver is a SyscallError named after the ioctl", () => {
    const system = fakeLibc({ ioctl: () => -1, errno: () => 272 });
    expect(() => Enclave.create(system, new Fd(system, 60))).toThrow(
      new SyscallError("NE_CREATE_VM", 272, ""),
    );
  });

  test("device: is /dev/nitro_enclaves", () => {
    expect(DEVICE_PATH).toBe("/dev/nitro_enclaves");
  });
});
