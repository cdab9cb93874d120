import { describe, expect, test } from "bun:test";
import { hasDropped } from "../../../src/launch/process/drop-privileges.ts";
import { sandboxRules } from "../../../src/launch/process/sandbox.ts";
import { filterProgram } from "../../../src/sys/seccomp.ts";

const identity = { uid: 7, gid: 8, groups: [8, 9] };
const status = (uid = "7\t7\t7\t7", gid = "8\t8\t8\t8", groups = "8 9 ", cap = "0000000000000000") =>
  `Name:\tx\nUid:\t${uid}\nGid:\t${gid}\nGroups:\t${groups}\nCapInh:\t0\nCapPrm:\t${cap}\nCapEff:\t${cap}\n`;

describe("hasDropped", () => {
  test("hasDropped: is true for the ids and groups of the user without capabilities", () => {
    expect(hasDropped(status(), identity)).toBe(true);
    expect(hasDropped(status(undefined, undefined, "9 8 "), identity)).toBe(true);
  });

  test.each([
    ["a saved user ID of root", status("7\t7\t0\t7")],
    ["a file system user ID of root", status("7\t7\t7\t0")],
    ["an effective group ID of root", status(undefined, "8\t0\t8\t8")],
    ["an additional group", status(undefined, undefined, "0 8 9 ")],
    ["a missing group", status(undefined, undefined, "8 ")],
    ["a capability", status(undefined, undefined, undefined, "0000000000200000")],
    ["an empty status", ""],
  ])("hasDropped: is false for %s", (_, text) => {
    expect(hasDropped(text, identity)).toBe(false);
  });
});

/** Runs a classic BPF program over one call, as the kernel does. */
function run(program: Uint8Array, arch: number, nr: number, args: readonly number[] = []): number {
  const view = new DataView(program.buffer);
  let loaded = 0;
  for (let at = 0; ; at++) {
    const [code, k] = [view.getUint16(at * 8, true), view.getUint32(at * 8 + 4, true)];
    const jump = (holds: boolean) => view.getUint8(at * 8 + (holds ? 2 : 3));
    if (code === 0x06) return k;
    if (code === 0x20) loaded = k === 0 ? nr : k === 4 ? arch : (args[(k - 16) / 8] ?? 0);
    else if (code === 0x15) at += jump(loaded === k);
    else if (code === 0x35) at += jump(loaded >= k);
    else if (code === 0x45) at += jump((loaded & k) !== 0);
    else throw new Error(`code ${code}`);
  }
}

const [ALLOW, KILL, EPERM, ENOSYS] = [0x7fff0000, 0x80000000, 0x50001, 0x50026];

/** Runs code in the sandbox of a separate process. */
function inSandbox(body: string) {
  const script = `
    import { enterSandbox } from "./src/launch/process/sandbox.ts";
    import { KERNEL_ARCHITECTURE } from "./src/sys/architecture.ts";
    import { SYSCALLS } from "./src/sys/linux/unistd.ts";
    import { openSystem } from "./src/sys/system.ts";
    const system = openSystem();
    const { processCalls } = system.libc;
    const path = new TextEncoder().encode("/etc/passwd\\0");
    enterSandbox(system);
    ${body}
    console.log("still running");
  `;
  const child = Bun.spawnSync([process.execPath, "-e", script], { cwd: `${import.meta.dir}/../../..` });
  return { out: child.stdout.toString(), signal: child.signalCode };
}

describe("sandbox", () => {
  test("sandbox: opening a file and signalling another process fail with EPERM", () => {
    const { out, signal } = inSandbox(`
      console.log(system.libc.open(path, 0, 0), system.libc.errno(), processCalls.kill(1, 0), system.libc.errno());
    `);
    expect([out, signal]).toEqual(["-1 1 -1 1\nstill running\n", undefined]);
  });

  test.each([
    ["changing the user", "processCalls.setresuid(1, 1, 1);"],
    ["changing the root directory", "processCalls.chroot(path);"],
    ["executing a program", "system.libc.syscall(SYSCALLS.execve[KERNEL_ARCHITECTURE], 0, 0, 0, 0, 0);"],
  ])("sandbox: %s kills the process", (_, body) => {
    expect(inSandbox(body)).toEqual({ out: "", signal: "SIGSYS" });
  });
});

describe("sandboxRules", () => {
  const x86 = filterProgram(sandboxRules(42), { errno: 1 }, "x86_64");
  const arm = filterProgram(sandboxRules(42), { errno: 1 }, "aarch64");

  test.each([
    ["read", 0, 63, [], ALLOW],
    ["ppoll", 271, 73, [], ALLOW],
    ["exit_group", 231, 94, [], ALLOW],
    ["openat", 257, 56, [], EPERM],
    ["kill", 62, 129, [], EPERM],
    ["execve", 59, 221, [], KILL],
    ["setresuid", 117, 147, [], KILL],
    ["clone3", 435, 435, [], ENOSYS],
    ["clone of a thread", 56, 220, [0x3d0f00], ALLOW],
    ["clone of a process", 56, 220, [17], KILL],
    ["ioctl NE_START_ENCLAVE", 16, 29, [3, 0xc010ae24], ALLOW],
    ["ioctl FIONBIO", 16, 29, [3, 0x5421], ALLOW],
    ["ioctl TIOCSTI", 16, 29, [3, 0x5412], EPERM],
    ["socket AF_UNIX", 41, 198, [1], ALLOW],
    ["socket AF_VSOCK", 41, 198, [40], ALLOW],
    ["socket AF_NETLINK", 41, 198, [16], EPERM],
    ["tgkill of its own process", 234, 131, [42], ALLOW],
    ["tgkill of another process", 234, 131, [43], EPERM],
    ["prctl PR_SET_NAME", 157, 167, [15], ALLOW],
    ["prctl PR_SET_DUMPABLE", 157, 167, [4], EPERM],
    ["an unknown system call", 999, 999, [], EPERM],
  ])(
    "sandboxRules: %s has the same result on both architectures",
    (_, x86Number, armNumber, args, expected) => {
      expect(run(x86, 0xc000003e, x86Number, args)).toBe(expected);
      expect(run(arm, 0xc00000b7, armNumber, args)).toBe(expected);
    },
  );

  test("sandboxRules: calls of another architecture and of x32 kill the process", () => {
    expect(run(x86, 0x40000003, 0)).toBe(KILL);
    expect(run(arm, 0x40000028, 0)).toBe(KILL);
    expect(run(x86, 0xc000003e, 0x40000000)).toBe(KILL);
  });
});
