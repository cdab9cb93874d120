/** Standard error: the launcher's own lines, and with -d a trace in the format of strace. */
import { afterAll, describe, expect, test } from "bun:test";
import { entries, LIVE_MS, launch, lines, notHere, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const scenario = { enclave: { console: ["hello"], heartbeatMs: 5, liveMs: LIVE_MS } };
const CALL = /^[A-Za-z_0-9]+\(.*\) = (-1 E[A-Z0-9]+|-?\d+|0x[0-9a-f]+)$/;
const OWN = /^nitro: /;

describe.concurrent.skipIf(notHere !== undefined)("stderr", () => {
  test("stderr: has only the launcher's messages without -d", async () => {
    const result = await launch(here.debug(), scenario);
    expect(lines(result.stderr).filter((line) => !OWN.test(line))).toEqual([]);
    expect(lines(result.stderr)).toHaveLength(2);
  });

  test("-d syscalls: prints every call, including the five ioctls with their arguments", async () => {
    const result = await launch(here.debug("-d", "syscalls"), scenario);
    const all = lines(result.stderr);
    expect(all.filter((line) => !OWN.test(line) && !CALL.test(line))).toEqual([]);
    expect(all.filter((line) => OWN.test(line))).toHaveLength(2);
    const [donated] = entries(result, "NE_SET_USER_MEMORY_REGION").map(({ address }) => address);
    const calls = all.filter((line) => line.startsWith("NE_"));
    expect(calls.map((line) => line.replace(/\(\d+, /, "(FD, "))).toEqual([
      expect.stringMatching(/^NE_CREATE_VM\(FD, \{slot_uid=4097\}\) = \d+$/),
      "NE_GET_IMAGE_LOAD_INFO(FD, {flags=1, memory_offset=8388608}) = 0",
      `NE_SET_USER_MEMORY_REGION(FD, {flags=0, memory_size=67108864, userspace_addr=${donated}}) = 0`,
      "NE_ADD_VCPU(FD, {vcpu_id=1}) = 0",
      "NE_ADD_VCPU(FD, {vcpu_id=9}) = 0",
      "NE_START_ENCLAVE(FD, {flags=1, enclave_cid=16}) = 0",
    ]);
    for (const call of ["memfd_create(", "mmap(", "fallocate(", "bind(", "accept4(", "poll(", "sigaction("]) {
      expect(all.some((line) => line.startsWith(call))).toBe(true);
    }
    expect(result.stdout).toBe("hello\n");
  });

  test("-d syscalls: prints the name of an error", async () => {
    const faults = [{ call: "NE_ADD_VCPU", errno: 272 }];
    const result = await launch(here.debug("-d", "syscalls"), { ...scenario, faults });
    expect(result.stderr).toMatch(/^NE_ADD_VCPU\(\d+, \{vcpu_id=0\}\) = -1 NE_ERR_NO_CPUS_AVAIL_IN_POOL$/m);
  });

  test("-d vsock: prints connections, the heartbeat and the console", async () => {
    const result = await launch(here.debug("-d", "vsock"), scenario);
    const all = lines(result.stderr);
    expect(all.filter((line) => !OWN.test(line) && !line.startsWith("vsock: "))).toEqual([]);
    expect(all).toContain("vsock: console: connected to CID 0 port 10016");
    expect(all).toContain("vsock: console: closed after 6 bytes");
    expect(all).toContain("vsock: heartbeat: received from the enclave, CID 16");
  });

  test("-D: receives the trace, and stderr has none", async () => {
    const path = here.path("trace");
    const result = await launch(here.debug("-d", "syscalls,vsock", "-D", path), scenario);
    expect(lines(result.stderr)).toHaveLength(2);
    const trace = lines(here.text("trace"));
    expect(trace.filter((line) => !CALL.test(line) && !line.startsWith("vsock: "))).toEqual([]);
    expect(trace.some((line) => line.startsWith("NE_START_ENCLAVE("))).toBe(true);
    expect(trace.some((line) => line.startsWith("vsock: heartbeat: "))).toBe(true);
  });
});
