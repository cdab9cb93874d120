/** Compares the numbers of system calls with the kernel's headers. */
import { expect, test } from "bun:test";
import { SYSCALLS } from "../../../src/sys/linux/unistd.ts";

/** Returns the system call numbers that a header defines, by name; undefined for a call that it does not define. */
function numbersIn(header: string, ...options: string[]): Map<string, number | undefined> {
  const lines = Object.keys(SYSCALLS).map((name) => `"${name}" __NR_${name}\n`);
  const command = ["cpp", "-P", ...options, "-include", header, "-"];
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { stdin: Buffer.from(lines.join("")) });
  if (exitCode !== 0) throw new Error(stderr.toString());
  const found = stdout.toString().matchAll(/^"(\w+)" (\w+)$/gm);
  return new Map(
    [...found].map(([, name = "", value = ""]) => [name, /^\d/.test(value) ? Number(value) : undefined]),
  );
}

/** The header of x86_64 is installed on x86_64 only; that of aarch64 is the generic one. */
const HEADERS = [
  ["aarch64", "asm-generic/unistd.h", ["BITS_PER_LONG=64", "ARCH_WANT_NEW_STAT", "ARCH_WANT_SYS_CLONE3"]],
  ...(process.arch === "x64" ? ([["x86_64", "asm/unistd_64.h", []]] as const) : []),
] as const;

test.each(HEADERS)(
  "unistd: the numbers for %s are those of the kernel's header",
  (architecture, header, macros) => {
    const numbers = numbersIn(header, ...macros.map((macro) => `-D__${macro}`));
    expect(numbers.size).toBe(Object.keys(SYSCALLS).length);
    for (const [name, { [architecture]: number }] of Object.entries(SYSCALLS)) {
      expect<unknown>([name, number]).toEqual([name, numbers.get(name)]);
    }
  },
);
