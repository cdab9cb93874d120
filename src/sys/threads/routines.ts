/**
 * The machine code of x86_64.S and aarch64.S, assembled. It does what JavaScript cannot: make system calls on threads
 * that have no runtime, and run in a signal handler. The alternatives do not work here: a Bun worker starts a runtime
 * (about 20 MB), io_uring is blocked by container runtimes and missing in Linux 4.14, and signalfd(2) misses signals
 * that the kernel delivers to another thread of the runtime.
 */
import { viewOf } from "../libc.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from "../linux/mman.ts";
import { checked, type System } from "../system.ts";
import { hex } from "../trace.ts";

/** Architectures by the runtime's names. */
type Machine = "x64" | "arm64";

/** The routines in hexadecimal; test/unit/sys/routines.test.ts compares them with the assembler sources. */
const CODE: Readonly<Record<Machine, { readonly callLoop: string; readonly signalHandler: string }>> = {
  x64: {
    callLoop:
      "f30f1efa534889fb48837b1000755db801000000f0480fc103483b4308734d486bc0384c8d440340498b00498b780849" +
      "8b7010498b50184d8b50200f054885c0790f4883f8fc751848837b100074d9eb1b49894030498b4028f048014320eba8" +
      "4889431848c7431001000000488b7b28488d7330ba01000000b8010000000f0531c05bc3",
    signalHandler: "f30f1efa574889e6bf00000000ba01000000b8010000000f055fc3",
  },
  arm64: {
    callLoop:
      "5f2403d5e90300aa2a0940f94a0400b52bfd5fc86c0500912cfd0dc8adffff352c0540f97f010ceb620300540c0780d2" +
      "6c250c9b882140f9802540f9812940f9822d40f9833140f9010000d4c000f8b61f1000b1a10100542a0940f9cafeffb4" +
      "0d0000148ec10191c0fd9fc82e8100918b3540f9cafd5fc84a010b8bcafd0dc8adffff35e1ffff17200d00f92a0080d2" +
      "2a0900f9201540f921c10091220080d2080880d2010000d4000080d2c0035fd6",
    signalHandler: "5f2403d5e00f1ff8e103009100008052220080d2080880d2010000d4ff430091c0035fd6",
  },
};

/** Offset of signal_handler_fd in the signal handler, in bytes. */
const SIGNAL_HANDLER_FD = { x64: 9, arm64: 12 } as const;

/** Size of the mapping that holds a routine, in bytes. */
export const CODE_BYTES = 4096;

function machine(): Machine {
  return process.arch === "arm64" ? "arm64" : "x64";
}

/** Returns the code of call_loop. */
export function callLoop(architecture: Machine = machine()): Uint8Array {
  return Uint8Array.fromHex(CODE[architecture].callLoop);
}

/** Returns the code of signal_handler, which writes to a descriptor below 65536. Throws RangeError. */
export function signalHandler(fd: number, architecture: Machine = machine()): Uint8Array {
  if (fd < 0 || fd > 0xffff) throw new RangeError(`descriptor ${fd} does not fit`);
  const code = Uint8Array.fromHex(CODE[architecture].signalHandler);
  const view = new DataView(code.buffer);
  const at = SIGNAL_HANDLER_FD[architecture];
  // x86_64: a 32-bit operand; aarch64: bits 5 to 20 of a movz instruction.
  const operand = architecture === "x64" ? fd : view.getUint32(at, true) | (fd << 5);
  view.setUint32(at, operand, true);
  return code;
}

/** Maps private memory that is zero. Returns its address. Throws SyscallError. */
export function mapZeros(system: System, length: number): number {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const start = Number(system.libc.mmap(0, length, PROT_READ | PROT_WRITE, flags, -1, 0));
  const args = () => `NULL, ${length}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0`;
  return checked(system, "mmap", start, { args });
}

/**
 * Maps code: first writable, then executable. The kernel synchronises the instruction cache when a page becomes
 * executable. Returns the address. Throws SyscallError.
 */
export function mapCode(system: System, code: Uint8Array): number {
  const start = mapZeros(system, CODE_BYTES);
  viewOf(start, code.length).set(code);
  const result = system.libc.mprotect(start, CODE_BYTES, PROT_READ | PROT_EXEC);
  checked(system, "mprotect", result, { args: () => `${hex(start)}, ${CODE_BYTES}, PROT_READ|PROT_EXEC` });
  return start;
}
