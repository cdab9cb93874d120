import { describe, expect, test } from "bun:test";
import { coresInUse, enclavesText, vcpusFromArguments } from "../../../src/host/driver/enclaves.ts";

describe("running enclaves", () => {
  test.each([
    [["nitro", "-smp", "4"], "nitro", 4],
    [["nitro", "--smp", "cpus=6,cores=3"], "nitro", 6],
    [["nitro", "-smp", "sockets=1,cpus=2"], "nitro", 2],
    [["nitro", "-smp", "2", "-smp", "8"], "nitro", 8],
    [["nitro", "-smp"], "nitro", undefined],
    [["nitro", "-kernel", "a"], "nitro", 2],
    [["qemu-system-x86_64"], "qemu-system-x86_64", 1],
    [["nitro-cli", "run-enclave"], "nitro-cli", undefined],
    [["enclave"], "enclave", undefined],
  ] as const)("vCPUs: the arguments %j of %s ask for %p", (args, program, vcpus) => {
    expect(vcpusFromArguments(args, program, 2)).toBe(vcpus);
  });

  test("cores in use: every enclave uses at least one whole core", () => {
    const enclaves = [
      { pid: 7, program: "nitro", vcpus: 4 },
      { pid: 8, program: "qemu", vcpus: 1 },
      { pid: 9, program: "other", vcpus: undefined },
    ];
    expect(coresInUse({ enclaves, complete: true }, 2)).toBe(4);
    expect(enclavesText(enclaves)).toBe("nitro (pid 7, 4 vCPUs), qemu (pid 8, 1 vCPU), other (pid 9)");
  });
});
