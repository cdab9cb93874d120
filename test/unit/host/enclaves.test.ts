import { describe, expect, test } from "bun:test";
import { coresInUse, enclavesText, vcpusFromArguments } from "../../../src/host/driver/enclaves.ts";
import { launcherOf, launcherText } from "../../../src/host/process/launchers.ts";

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
    [["nitro-cli", "run-enclave", "--cpu-count", "4"], "nitro-cli", 4],
    [["enclave"], "enclave", undefined],
  ] as const)("vCPUs: the arguments %j of %s ask for %p", (args, program, vcpus) => {
    expect(vcpusFromArguments(args, program, 2)).toBe(vcpus);
  });

  test("cores in use: every enclave uses at least one whole core", () => {
    const enclaves = [
      { pid: 7, program: "nitro", name: undefined, cid: 16, vcpus: 4 },
      { pid: 8, program: "qemu", name: "web", cid: undefined, vcpus: 1 },
      { pid: 9, program: "other", name: undefined, cid: undefined, vcpus: undefined },
    ];
    expect(coresInUse({ enclaves, complete: true }, 2)).toBe(4);
    expect(enclavesText(enclaves)).toBe(
      "nitro (pid 7, CID 16, 4 vCPUs), web (qemu, pid 8, 1 vCPU), other (pid 9)",
    );
  });

  test.each([
    [["/usr/bin/nitro", "-kernel", "a"], 17, "nitro (pid 7, CID 17)"],
    [["nitro", "-kernel", "a"], undefined, "nitro (pid 7)"],
    [["nitro", "-name", "web", "-kernel", "a"], 17, "web (nitro, pid 7, CID 17)"],
    [["nitro", "--name", "guest=web,process=w"], 17, "web (nitro, pid 7, CID 17)"],
    [["nitro", "-name", "process=w"], 17, "nitro (pid 7, CID 17)"],
    [["qemu-system-x86_64", "-accel", "nitro,enclave-cid=9"], undefined, "qemu-system-x86_64 (pid 7, CID 9)"],
    [["qemu-system-x86_64", "-accel", "nitro,enclave-cid=0"], undefined, "qemu-system-x86_64 (pid 7)"],
    [
      ["nitro-cli", "run-enclave", "--enclave-name", "db", "--enclave-cid", "20"],
      undefined,
      "db (nitro-cli, pid 7, CID 20)",
    ],
    [[], undefined, "a process (pid 7)"],
  ] as const)("names: the launcher %j with published CID %p is %j", (args, cid, text) => {
    expect(launcherText(launcherOf(7, args, cid))).toBe(text);
  });
});
