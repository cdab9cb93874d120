/**
 * What a thread runs that makes system calls beside others: machine code, for JavaScript cannot run on a thread that is
 * not its own, and a thread with a runtime of its own costs more time and memory than it saves. Each takes the next
 * call of a table until there is none, one has failed or all are to stop, and says at its end that it is through. A
 * call that a signal interrupts is made again. No errno is touched.
 *
 * The argument of the thread is the table: words of 64 bits, HEAD_BYTES of head and then CALL_BYTES for each call.
 */
import { words } from "./machine-code.ts";

/** Bytes before the first call. */
export const HEAD_BYTES = 64;

/** Bytes of a call: the words of CALL. */
export const CALL_BYTES = 56;

/** Places in the head, in words. */
export const HEAD = {
  /** The next call that nobody has taken. */
  next: 0,
  /** How many there are. */
  calls: 1,
  /** Not 0 when all are to stop. */
  stop: 2,
  /** The negative errno of the last call that failed. */
  failure: 3,
  /** Bytes that are done. */
  done: 4,
  /** A descriptor to which each thread writes one byte at its end. */
  through: 5,
} as const;

/** Places in a call, in words. */
export const CALL = {
  /** The kernel's number of it, and four arguments. */
  number: 0,
  args: 1,
  /** What is added to HEAD.done when it is made. */
  bytes: 5,
  /** What it gave, once it is made; below 0 before. */
  result: 6,
} as const;

/** x86_64: the table comes in rdi (System V ABI); numbers of asm/unistd_64.h. */
function x86(): number[] {
  return [
    ...[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
    0x53, // push rbx
    ...[0x48, 0x89, 0xfb], // mov rbx,rdi
    // next:
    ...[0x48, 0x83, 0x7b, 0x10, 0x00], // cmp [rbx+0x10],0x0
    ...[0x75, 0x5d], // jne done
    ...[0xb8, 0x01, 0x00, 0x00, 0x00], // mov eax,0x1
    ...[0xf0, 0x48, 0x0f, 0xc1, 0x03], // lock xadd [rbx],rax
    ...[0x48, 0x3b, 0x43, 0x08], // cmp rax,[rbx+0x8]
    ...[0x73, 0x4d], // jae done
    ...[0x48, 0x6b, 0xc0, 0x38], // imul rax,rax,0x38
    ...[0x4c, 0x8d, 0x44, 0x03, 0x40], // lea r8,[rbx+rax+0x40]
    // again:
    ...[0x49, 0x8b, 0x00], // mov rax,[r8]
    ...[0x49, 0x8b, 0x78, 0x08], // mov rdi,[r8+0x8]
    ...[0x49, 0x8b, 0x70, 0x10], // mov rsi,[r8+0x10]
    ...[0x49, 0x8b, 0x50, 0x18], // mov rdx,[r8+0x18]
    ...[0x4d, 0x8b, 0x50, 0x20], // mov r10,[r8+0x20]
    ...[0x0f, 0x05], // syscall
    ...[0x48, 0x85, 0xc0], // test rax,rax
    ...[0x79, 0x0f], // jns made
    ...[0x48, 0x83, 0xf8, 0xfc], // cmp rax,0xfffffffffffffffc: -EINTR
    ...[0x75, 0x18], // jne failed
    ...[0x48, 0x83, 0x7b, 0x10, 0x00], // cmp [rbx+0x10],0x0
    ...[0x74, 0xd9], // je again
    ...[0xeb, 0x1b], // jmp done
    // made:
    ...[0x49, 0x89, 0x40, 0x30], // mov [r8+0x30],rax
    ...[0x49, 0x8b, 0x40, 0x28], // mov rax,[r8+0x28]
    ...[0xf0, 0x48, 0x01, 0x43, 0x20], // lock add [rbx+0x20],rax
    ...[0xeb, 0xa8], // jmp next
    // failed:
    ...[0x48, 0x89, 0x43, 0x18], // mov [rbx+0x18],rax
    ...[0x48, 0xc7, 0x43, 0x10, 0x01, 0x00, 0x00, 0x00], // mov [rbx+0x10],0x1
    // done:
    ...[0x48, 0x8b, 0x7b, 0x28], // mov rdi,[rbx+0x28]
    ...[0x48, 0x8d, 0x73, 0x30], // lea rsi,[rbx+0x30]
    ...[0xba, 0x01, 0x00, 0x00, 0x00], // mov edx,0x1
    ...[0xb8, 0x01, 0x00, 0x00, 0x00], // mov eax,0x1: __NR_write
    ...[0x0f, 0x05], // syscall
    ...[0x31, 0xc0], // xor eax,eax
    0x5b, // pop rbx
    0xc3, // ret
  ];
}

/** aarch64: the table comes in x0 (AAPCS64), and a system call changes no register but x0; asm-generic/unistd.h. */
function arm(): number[] {
  return words(
    0xd503245f, // bti c
    0xaa0003e9, // mov x9, x0
    // next:
    0xf940092a, // ldr x10, [x9, #16]
    0xb500044a, // cbnz x10, done
    // take:
    0xc85ffd2b, // ldaxr x11, [x9]
    0x9100056c, // add x12, x11, #0x1
    0xc80dfd2c, // stlxr w13, x12, [x9]
    0x35ffffad, // cbnz w13, take
    0xf940052c, // ldr x12, [x9, #8]
    0xeb0c017f, // cmp x11, x12
    0x54000362, // b.cs done
    0xd280070c, // mov x12, #0x38
    0x9b0c256c, // madd x12, x11, x12, x9
    // again:
    0xf9402188, // ldr x8, [x12, #64]
    0xf9402580, // ldr x0, [x12, #72]
    0xf9402981, // ldr x1, [x12, #80]
    0xf9402d82, // ldr x2, [x12, #88]
    0xf9403183, // ldr x3, [x12, #96]
    0xd4000001, // svc #0x0
    0xb6f800c0, // tbz x0, #63, made
    0xb100101f, // cmn x0, #0x4: -EINTR
    0x540001a1, // b.ne failed
    0xf940092a, // ldr x10, [x9, #16]
    0xb4fffeca, // cbz x10, again
    0x1400000d, // b done
    // made:
    0x9101c18e, // add x14, x12, #0x70
    0xc89ffdc0, // stlr x0, [x14]
    0x9100812e, // add x14, x9, #0x20
    0xf940358b, // ldr x11, [x12, #104]
    // count:
    0xc85ffdca, // ldaxr x10, [x14]
    0x8b0b014a, // add x10, x10, x11
    0xc80dfdca, // stlxr w13, x10, [x14]
    0x35ffffad, // cbnz w13, count
    0x17ffffe1, // b next
    // failed:
    0xf9000d20, // str x0, [x9, #24]
    0xd280002a, // mov x10, #0x1
    0xf900092a, // str x10, [x9, #16]
    // done:
    0xf9401520, // ldr x0, [x9, #40]
    0x9100c121, // add x1, x9, #0x30
    0xd2800022, // mov x2, #0x1
    0xd2800808, // mov x8, #0x40: __NR_write
    0xd4000001, // svc #0x0
    0xd2800000, // mov x0, #0x0
    0xd65f03c0, // ret
  );
}

/** The code for this machine. */
export function callCode(architecture: string = process.arch): Uint8Array {
  return new Uint8Array(architecture === "arm64" ? arm() : x86());
}
