import { describe, expect, test } from "bun:test";
import { fileSizeProblem, openFilesProblem } from "../../../src/host/process/limits.ts";
import { systemWith } from "../sys/fake-files.ts";

const CAP_SYS_RESOURCE = "0000000001000000";

describe("limits of the process", () => {
  const limits = (files: string, size: string, capabilities = "0000000000000000") =>
    systemWith({
      "/proc/self/limits":
        "Limit                     Soft Limit           Hard Limit           Units     \n" +
        `Max file size             ${size.padEnd(20)} ${size.padEnd(20)} bytes     \n` +
        `Max open files            ${files.padEnd(20)} ${files.padEnd(20)} files     `,
      "/proc/self/status": `CapEff:\t${capabilities}`,
    });

  test("process limits: sufficient or unreadable limits are no problem", () => {
    expect(openFilesProblem(limits("1024", "unlimited"))).toBeUndefined();
    expect(fileSizeProblem(limits("1024", "unlimited"), 2 ** 40)).toBeUndefined();
    expect(openFilesProblem(systemWith({}))).toBeUndefined();
  });

  test("process limits: a process that may raise the limit gets the ulimit command", () => {
    expect(openFilesProblem(limits("20", "unlimited", CAP_SYS_RESOURCE))).toEqual({
      why: "the limit of open files is 20, too low for a launch",
      command: "ulimit -n 1024",
      advice: "in a systemd unit: LimitNOFILE=1024",
    });
    expect(fileSizeProblem(limits("20", "1048576", CAP_SYS_RESOURCE), 2 ** 27)).toEqual({
      why: "the file size limit is 1 MiB, but the enclave's memory, a file of huge pages, has 128 MiB",
      command: "ulimit -f unlimited",
      advice: "in a systemd unit: LimitFSIZE=infinity",
    });
  });

  test("process limits: a process that may not raise it is referred to limits.conf", () => {
    const problem = openFilesProblem(limits("20", "unlimited"));
    expect([problem?.command, problem?.advice]).toEqual([undefined, expect.stringContaining("limits.conf")]);
  });
});
