/**
 * System call filters: rules are compiled to a BPF program (seccomp(2)) that applies to every thread of the process.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { UserError } from "./errors.ts";
import { addressOf } from "./libc.ts";
import { AUDIT_ARCH_AARCH64, AUDIT_ARCH_X86_64 } from "./linux/audit.ts";
import * as bpf from "./linux/bpf_common.ts";
import { sockFilter, sockFprog } from "./linux/filter.ts";
import { PR_SET_NO_NEW_PRIVS } from "./linux/prctl.ts";
import {
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_SET_MODE_FILTER,
  seccompData,
} from "./linux/seccomp.ts";
import { SYSCALLS, X32_SYSCALL_BIT } from "./linux/unistd.ts";
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

const AUDIT_ARCH = { x86_64: AUDIT_ARCH_X86_64, aarch64: AUDIT_ARCH_AARCH64 } as const;

const LOAD = bpf.BPF_LD | bpf.BPF_W | bpf.BPF_ABS;
const JUMP_EQUAL = bpf.BPF_JMP | bpf.BPF_JEQ | bpf.BPF_K;
const JUMP_AT_LEAST = bpf.BPF_JMP | bpf.BPF_JGE | bpf.BPF_K;
const JUMP_SET = bpf.BPF_JMP | bpf.BPF_JSET | bpf.BPF_K;
const RETURN = bpf.BPF_RET | bpf.BPF_K;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

const ret = (action: FilterAction): Instruction => [RETURN, 0, 0, code(action)];

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
    [LOAD, 0, 0, seccompData.offsets.arch],
    [JUMP_EQUAL, 1, 0, AUDIT_ARCH[architecture]],
    ret("kill"),
    [LOAD, 0, 0, seccompData.offsets.nr],
  ];
  if (architecture === "x86_64") program.push([JUMP_AT_LEAST, 0, 1, X32_SYSCALL_BIT], ret("kill"));
  for (const rule of rules) {
    for (const call of rule.calls) {
      const number = SYSCALLS[call][architecture];
      if (number === undefined) continue;
      const body = bodyOf(rule);
      program.push([JUMP_EQUAL, 0, body.length, number], ...body);
    }
  }
  program.push(ret(otherwise));
  return encode(program);
}

function bodyOf({ action, when }: FilterRule): Instruction[] {
  if (when === undefined) return [ret(action)];
  const load: Instruction = [LOAD, 0, 0, seccompData.offsets.args + 8 * when.argument];
  const tests: Instruction[] =
    "bit" in when.is
      ? [[JUMP_SET, 0, 1, when.is.bit]]
      : when.is.oneOf.map((value, i, { length }) => [
          JUMP_EQUAL,
          length - 1 - i,
          i === length - 1 ? 1 : 0,
          value,
        ]);
  return [load, ...tests, ret(action), ret(when.otherwise)];
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * sockFilter.size);
  program.forEach(([code, jt, jf, k], i) => {
    bytes.set(sockFilter.encode({ code, jt, jf, k }), i * sockFilter.size);
  });
  return bytes;
}

/** Applies a program to all threads, for good, with no_new_privs. Throws UserError, SyscallError. */
export function applyFilter(system: System, program: Uint8Array): void {
  const { libc } = system;
  const set = libc.processCalls.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  checked(system, "prctl", set, { args: () => "PR_SET_NO_NEW_PRIVS, 1", subject: "PR_SET_NO_NEW_PRIVS" });
  const fprog = sockFprog.encode({
    len: program.length / sockFilter.size,
    padding: [0, 0, 0, 0, 0, 0],
    filter: BigInt(addressOf(program)),
  });
  const number = SYSCALLS.seccomp[KERNEL_ARCHITECTURE];
  const [mode, flags] = [SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC];
  const result = Number(libc.syscall(number, mode, flags, addressOf(fprog), 0, 0));
  checked(system, "seccomp", result, { args: () => "SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC" });
  // A positive result is the id of a thread that has another filter and could not be synchronised.
  if (result !== 0)
    throw new UserError("seccomp", `thread ${result} has another filter and cannot be given this one`);
}
