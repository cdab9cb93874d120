/**
 * System call filters: rules are compiled to a BPF program (seccomp(2)) that applies to every thread of the process.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { UserError } from "./errors.ts";
import { addressOf } from "./libc.ts";
import { PR_SET_NO_NEW_PRIVS } from "./linux/prctl.ts";
import {
  AUDIT_ARCH,
  BPF,
  SECCOMP_DATA,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_SET_MODE_FILTER,
  SOCK_FILTER_SIZE,
  SOCK_FPROG_SIZE,
  X32_SYSCALL_BIT,
} from "./linux/seccomp.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { checked, type System } from "./system.ts";

/** A system call by its kernel name. */
export type SyscallName = keyof typeof SYSCALLS;

/** The result of a call: it is made, it fails with an errno, or the process is killed. */
export type FilterAction = "allow" | "kill" | { readonly errno: number };

/**
 * A rule for some calls. `when` compares the low 32 bits of an argument; `otherwise` applies if the comparison fails.
 */
export interface FilterRule {
  readonly calls: readonly SyscallName[];
  readonly action: FilterAction;
  readonly when?: {
    readonly argument: number;
    /** One of these values, or a bit that must be set. */
    readonly is: { readonly oneOf: readonly number[] } | { readonly bit: number };
    readonly otherwise: FilterAction;
  };
}

function code(action: FilterAction): number {
  if (action === "allow") return SECCOMP_RET_ALLOW;
  return action === "kill" ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO + action.errno;
}

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

const ret = (action: FilterAction): Instruction => [BPF.return, 0, 0, code(action)];

/**
 * Compiles rules. Calls with another architecture's numbering are killed; then the rules apply in their order, so
 * frequent calls come first; `otherwise` applies to calls without a rule.
 */
export function filterProgram(
  rules: readonly FilterRule[],
  otherwise: FilterAction,
  architecture: keyof typeof AUDIT_ARCH = KERNEL_ARCHITECTURE,
): Uint8Array {
  const program: Instruction[] = [
    [BPF.load, 0, 0, SECCOMP_DATA.arch],
    [BPF.jumpEqual, 1, 0, AUDIT_ARCH[architecture]],
    ret("kill"),
    [BPF.load, 0, 0, SECCOMP_DATA.nr],
  ];
  if (architecture === "x86_64") program.push([BPF.jumpAtLeast, 0, 1, X32_SYSCALL_BIT], ret("kill"));
  for (const rule of rules) {
    for (const call of rule.calls) {
      const number = SYSCALLS[call][architecture];
      if (number === undefined) continue;
      const body = bodyOf(rule);
      program.push([BPF.jumpEqual, 0, body.length, number], ...body);
    }
  }
  program.push(ret(otherwise));
  return encode(program);
}

function bodyOf({ action, when }: FilterRule): Instruction[] {
  if (when === undefined) return [ret(action)];
  const load: Instruction = [BPF.load, 0, 0, SECCOMP_DATA.args + 8 * when.argument];
  const tests: Instruction[] =
    "bit" in when.is
      ? [[BPF.jumpSet, 0, 1, when.is.bit]]
      : when.is.oneOf.map((value, i, { length }) => [
          BPF.jumpEqual,
          length - 1 - i,
          i === length - 1 ? 1 : 0,
          value,
        ]);
  return [load, ...tests, ret(action), ret(when.otherwise)];
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * SOCK_FILTER_SIZE);
  const view = new DataView(bytes.buffer);
  program.forEach(([opcode, jumpTrue, jumpFalse, k], i) => {
    view.setUint16(i * SOCK_FILTER_SIZE, opcode, true);
    view.setUint8(i * SOCK_FILTER_SIZE + 2, jumpTrue);
    view.setUint8(i * SOCK_FILTER_SIZE + 3, jumpFalse);
    view.setUint32(i * SOCK_FILTER_SIZE + 4, k, true);
  });
  return bytes;
}

/** Applies a program to all threads, for good, with no_new_privs. Throws UserError, SyscallError. */
export function applyFilter(system: System, program: Uint8Array): void {
  const { libc } = system;
  const set = libc.processCalls.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  checked(system, "prctl", set, () => "PR_SET_NO_NEW_PRIVS, 1", "PR_SET_NO_NEW_PRIVS");
  const fprog = new Uint8Array(SOCK_FPROG_SIZE);
  const view = new DataView(fprog.buffer);
  view.setUint16(0, program.length / SOCK_FILTER_SIZE, true);
  view.setBigUint64(8, BigInt(addressOf(program)), true);
  const number = SYSCALLS.seccomp[KERNEL_ARCHITECTURE];
  const [mode, flags] = [SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC];
  const result = Number(libc.syscall(number, mode, flags, addressOf(fprog), 0, 0));
  checked(system, "seccomp", result, () => "SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC", "");
  // A positive result is the id of a thread that has another filter and could not be synchronised.
  if (result !== 0)
    throw new UserError("seccomp", `thread ${result} has another filter and cannot be given this one`);
}
