/** The seccomp filter: which system calls are trapped for the supervisor, as a classic BPF program. */

import { treeCalls } from "./files/call-arguments.ts";
import { pathCalls } from "./path-status.ts";
import type { Scenario } from "./scenario.ts";
import {
  AF,
  AUDIT_ARCH_X86_64,
  F_ADD_SEALS,
  GET_LOCAL_CID,
  HUGE_PAGE,
  MADV,
  MAP,
  MFD,
  NE,
  NR,
  O,
  SECCOMP,
  SO_ERROR,
} from "./sys/kernel.ts";

/** A test of one argument's lower 32 bits; all tests of a rule must hold. */
type Condition =
  | { arg: number; anyBit: number }
  | { arg: number; noBit: number }
  | { arg: number; oneOf: readonly number[] };

interface Rule {
  nr: number;
  when: readonly Condition[];
}

// Opcodes of classic BPF (linux/bpf_common.h): the class, size or operation, and source.
const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_BITS = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const NR_AT = 0; // struct seccomp_data (linux/seccomp.h): nr at 0, arch at 4, args from 16 on
const ARCH_AT = 4;
const ARGS_AT = 16;

type Instruction = [code: number, ifTrue: number, ifFalse: number, value: number];

/**
 * Calls that a scenario's faults and signals may name, in addition to `openat:PATH` and, for files of a described
 * instance, `write:PATH`.
 */
export function trappableCalls(): string[] {
  return [...Object.keys(NE), ...Object.keys(faultable), ...alwaysNamed];
}

const alwaysNamed = [
  "openat",
  "memfd_create",
  "mmap",
  "socket",
  "bind",
  "connect",
  "accept",
  "accept4",
].concat(["getsockname", "getpeername", "getsockopt", "execve", "exit_group"]);

/** Calls that have nothing to do with the emulation: trapped only if a fault or a signal names them. */
const faultable = {
  listen: NR.listen,
  ftruncate: NR.ftruncate,
  madvise: NR.madvise,
  fallocate: NR.fallocate,
  write: NR.write,
} as const;

/** Returns the rules for a scenario. @param standIn whether huge pages are emulated. */
function rulesFor(scenario: Scenario, standIn: boolean): Rule[] {
  const writable = scenario.opens === "writable" ? [{ arg: 2, anyBit: O.ACCMODE }] : [];
  const writableOpen = scenario.opens === "writable" ? [{ arg: 1, anyBit: O.ACCMODE }] : [];
  const rules: Rule[] = [
    { nr: NR.openat, when: writable },
    { nr: NR.open, when: writableOpen },
    {
      nr: NR.ioctl,
      when: [
        { arg: 1, oneOf: [...Object.values(NE), ...(scenario.topology === null ? [] : [GET_LOCAL_CID])] },
      ],
    },
    { nr: NR.socket, when: [{ arg: 0, oneOf: [AF.VSOCK] }] },
    { nr: NR.execve, when: [] },
    { nr: NR.exit_group, when: [] },
    { nr: NR.getsockopt, when: [{ arg: 2, oneOf: [SO_ERROR] }] },
    { nr: NR.setsockopt, when: [{ arg: 1, oneOf: [AF.VSOCK] }] },
  ];
  for (const nr of [NR.bind, NR.connect, NR.accept, NR.accept4, NR.getsockname, NR.getpeername]) {
    rules.push({ nr, when: [] });
  }
  const named = new Set([
    ...scenario.faults.map((fault) => fault.call.split(":")[0]),
    ...scenario.signals.map((shot) => shot.at?.split(" ")[1]),
  ]);
  rules.push({ nr: NR.memfd_create, when: [{ arg: 1, anyBit: MFD.HUGETLB }] });
  if (standIn || named.has("mmap")) {
    // The stand-in's files and the machine's huge page files are mapped shared; the loader maps libraries private.
    rules.push({
      nr: NR.mmap,
      when: [
        { arg: 3, anyBit: MAP.SHARED },
        { arg: 3, noBit: MAP.ANONYMOUS },
      ],
    });
  }
  if (standIn)
    rules.push({ nr: NR.fcntl, when: [{ arg: 1, oneOf: [F_ADD_SEALS] }] }, { nr: NR.fstatfs, when: [] });
  if (scenario.opens === "all") for (const nr of pathCalls) rules.push({ nr, when: [] });
  for (const [name, nr] of Object.entries(faultable)) if (named.has(name)) rules.push({ nr, when: [] });
  // The first rule of a call counts: a call that a fault names is trapped whatever its arguments are.
  if (scenario.topology !== null) rules.push(...topologyRules());
  return rules;
}

/** Returns the additional rules for a scenario with a topology. */
function topologyRules(): Rule[] {
  // Writes of settings are short; a console's output, which is not, is not trapped.
  const isShort: Condition = { arg: 2, noBit: 0xfffff000 };
  const always: number[] = [NR.set_mempolicy, NR.get_mempolicy, NR.mbind, NR.move_pages, NR.fallocate];
  always.push(NR.ftruncate, NR.pread64, NR.lseek, NR.sched_setaffinity, NR.sched_getaffinity);
  return [
    ...always.map((nr): Rule => ({ nr, when: [] })),
    { nr: NR.madvise, when: [{ arg: 2, oneOf: Object.values(MADV) }] },
    { nr: NR.munmap, when: [{ arg: 1, noBit: HUGE_PAGE - 1 }] },
    ...treeCalls.map((nr): Rule => ({ nr, when: [] })),
    { nr: NR.write, when: [isShort] },
    { nr: NR.pwrite64, when: [isShort] },
    ...[NR.writev, NR.sendfile, NR.copy_file_range].map((nr): Rule => ({ nr, when: [] })),
  ];
}

function conditionCode(condition: Condition, toAllow: number): Instruction[] {
  const load: Instruction = [LOAD_WORD, 0, 0, ARGS_AT + 8 * condition.arg];
  if ("anyBit" in condition) return [load, [JUMP_BITS, 0, toAllow, condition.anyBit]];
  if ("noBit" in condition) return [load, [JUMP_BITS, toAllow, 0, condition.noBit]];
  const values = condition.oneOf;
  return [
    load,
    ...values.map((value, index): Instruction => {
      const last = index === values.length - 1;
      return [JUMP_EQUAL, values.length - 1 - index, last ? toAllow : 0, value];
    }),
  ];
}

/** Compiles one rule: its conditions in a row, then "notify the supervisor", then "allow" if a condition is false. */
function ruleCode(rule: Rule): Instruction[] {
  let code: Instruction[] = [
    [RETURN, 0, 0, SECCOMP.RET_USER_NOTIF],
    [RETURN, 0, 0, SECCOMP.RET_ALLOW],
  ];
  for (const condition of [...rule.when].reverse()) {
    // The jump from a condition's last instruction to "allow" skips everything in between.
    code = [...conditionCode(condition, code.length - 1), ...code];
  }
  return [[JUMP_EQUAL, 0, code.length, rule.nr], ...code];
}

/** The filter as an array of struct sock_filter (linux/filter.h): u16 code, u8 jt, u8 jf, u32 k. */
export function buildFilter(scenario: Scenario, standIn: boolean): Uint8Array<ArrayBuffer> {
  const code: Instruction[] = [
    [LOAD_WORD, 0, 0, ARCH_AT],
    [JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64],
    [RETURN, 0, 0, SECCOMP.RET_ALLOW],
    [LOAD_WORD, 0, 0, NR_AT],
    ...rulesFor(scenario, standIn).flatMap(ruleCode),
    [RETURN, 0, 0, SECCOMP.RET_ALLOW],
  ];
  const bytes = new Uint8Array(new ArrayBuffer(8 * code.length));
  const view = new DataView(bytes.buffer);
  code.forEach(([operation, ifTrue, ifFalse, value], index) => {
    view.setUint16(8 * index, operation, true);
    view.setUint8(8 * index + 2, ifTrue);
    view.setUint8(8 * index + 3, ifFalse);
    view.setUint32(8 * index + 4, value, true);
  });
  return bytes;
}
