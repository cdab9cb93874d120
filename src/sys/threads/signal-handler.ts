/**
 * A signal handler that any thread may run: it writes the signal's number, one byte, to a descriptor, and does nothing
 * else. It has to be machine code. The runtime has threads of its own before the first line of ours runs, and they
 * block no signal: a signal that the main thread blocks is delivered to one of them, so signalfd(2) would see none; and
 * JavaScript cannot run on a thread that is not its own. What runs here makes one system call and touches no errno.
 */

import { words } from "./machine-code.ts";

/** x86_64: the signal's number comes in edi; __NR_write is 1 (asm/unistd_64.h). */
function x86(fd: number): number[] {
  return [
    ...[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
    0x57, // push rdi
    ...[0x48, 0x89, 0xe6], // mov rsi, rsp
    ...[0xbf, ...words(fd)], // mov edi, fd
    ...[0xba, ...words(1)], // mov edx, 1
    ...[0xb8, ...words(1)], // mov eax, __NR_write
    ...[0x0f, 0x05], // syscall
    0x5f, // pop rdi
    0xc3, // ret
  ];
}

/** aarch64: the signal's number comes in w0; __NR_write is 64 (asm-generic/unistd.h). */
function arm(fd: number): number[] {
  return words(
    0xd503245f, // bti c
    0xf81f0fe0, // str x0, [sp, #-16]!
    0x910003e1, // mov x1, sp
    0x52800000 | (fd << 5), // mov w0, #fd
    0xd2800022, // mov x2, #1
    0xd2800808, // mov x8, #__NR_write
    0xd4000001, // svc #0
    0x910043ff, // add sp, sp, #16
    0xd65f03c0, // ret
  );
}

/** The handler's code for this machine. @param fd a descriptor below 65536. */
export function handlerCode(fd: number, architecture: string = process.arch): Uint8Array {
  if (fd < 0 || fd > 0xffff) throw new RangeError(`descriptor ${fd} does not fit`);
  return new Uint8Array(architecture === "arm64" ? arm(fd) : x86(fd));
}
