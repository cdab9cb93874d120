/**
 * Options of the JavaScript engine that the executable sets for itself. The runtime reads them from the environment: a
 * variable BUN_JSC_X sets option X, and one of them replaces functions of the program. The build replaces the code that
 * reads them, so that the environment cannot set any option.
 */
import { overwriteFunction, type Processor, quads } from "./added-code.ts";
import type { ElfFile } from "./elf.ts";

/**
 * The engine makes threads when it needs them, ends them after ten idle seconds, and aborts if it cannot make one: a
 * limit on processes (pids.max of a cgroup, RLIMIT_NPROC) would end a running enclave. With these options it compiles,
 * collects garbage and prepares memory on the main thread. The start is 1 ms faster (of 9).
 */
const OPTIONS = [
  "useConcurrentJIT=0",
  "useConcurrentGC=0",
  "numberOfGCMarkers=1",
  "useWarmUpMarkedBlocks=0",
] as const;

/** Only native add-ons for Node.js call it, and nitro loads none. */
const UNUSED_FUNCTION = "napi_make_callback";

/** The code up to `set_option`, in hexadecimal; test/unit/executable/added-code.test.ts compares it. */
const CODE: Readonly<Record<Processor, string>> = {
  x86_64: "53488d1d300000004889dfbe01000000ff151a00000084c0741048ffc3807bff0075f7803b0075e05bc30f0b0f1f4000",
  aarch64:
    "5f2403d5fd7bbea9fd030091f30b00f913020010e00313aa210080527001005800023fd60001003669164038e9ffff35" +
    "6902403909ffff35f30b40f9fd7bc2a8c0035fd600000000",
};

/** Returns the code, with the address of the engine's function for an option. */
export function setEngineOptions(architecture: Processor, setOption: number): Uint8Array {
  const options = Buffer.from(`${OPTIONS.join("\0")}\0\0`);
  return Buffer.concat([Buffer.from(CODE[architecture], "hex"), quads(setOption), options]);
}

/** The code of the runtime that reads options from its environment, in a loop over the variables. */
interface OptionsLoop {
  /** The address of the instructions in front of it, which end in a branch to the loop or past it. */
  readonly address: number;
  /** The address behind the loop. */
  readonly next: number;
  /** The address of the engine's function for an option. */
  readonly setOption: number;
}

interface Pattern {
  /**
   * What to look for, in hexadecimal: `..` is any byte, `...` any number of bytes up to MAX_GAP. The groups are the
   * instructions in front of the loop, and setOption's call.
   */
  readonly code: readonly string[];
  /** Finds the addresses, from the addresses of the groups. */
  readonly loop: (program: ElfFile, address: number, call: number) => OptionsLoop;
  /** Returns instructions to put in front of the loop: they call a routine and continue behind the loop. */
  readonly callInstead: (loop: OptionsLoop, routine: number) => Uint8Array;
}

const MAX_GAP = 200;

function bytePattern(code: readonly string[]): RegExp {
  const tokens = code.join(" ").match(/[()]|[0-9a-f]{2}|\.+/g) ?? [];
  const parts = tokens.map((token) => {
    if (token === "..") return ".";
    if (token === "...") return `.{0,${MAX_GAP}}?`;
    return token.length === 2 ? `\\x${token}` : token;
  });
  return new RegExp(parts.join(""), "dgs");
}

/**
 * The runtime compares the prefix BUN_JSC_ byte by byte: `J` at offset 4, `S` at offset 5. When Bun is updated and the
 * pattern is not found exactly once, disassemble the place where this is done and write the new pattern.
 */
const PATTERNS: Readonly<Record<Processor, Pattern>> = {
  x86_64: {
    code: [
      "( 48 8b 43 18", // mov rax, [rbx + 24]
      "4c 8b 38", // mov r15, [rax]
      "4d 85 ff", // test r15, r15
      "0f 85 .. .. .. .. )", // jne
      "...",
      "41 80 7e 04 4a", // cmp byte ptr [r14 + 4], 'J'
      "...",
      "41 80 7e 05 53", // cmp byte ptr [r14 + 5], 'S'
      "...",
      "49 8d 7e 08", // lea rdi, [r14 + 8]
      "be 01 00 00 00", // mov esi, 1
      "( e8 .. .. .. .. )", // call
      "84 c0", // test al, al
    ],
    loop: (program, address, call) => ({
      address,
      next: address + 16,
      setOption: call + 5 + program.int32(call + 1),
    }),
    callInstead: ({ address }, routine) => {
      const code = Buffer.alloc(16, 0x90);
      code.writeUInt8(0xe8);
      code.writeInt32LE(routine - (address + 5), 1);
      return code;
    },
  },
  aarch64: {
    code: [
      "( 68 0e 40 f9", // ldr x8, [x19, #24]
      "08 01 40 f9", // ldr x8, [x8]
      ".. .. .. b4 )", // cbz x8
      "...",
      "2a 11 40 39", // ldrb w10, [x9, #4]
      "5f 29 01 71", // cmp w10, #'J'
      "...",
      "2a 15 40 39", // ldrb w10, [x9, #5]
      "5f 4d 01 71", // cmp w10, #'S'
      "...",
      "20 21 00 91", // add x0, x9, #8
      "21 00 80 52", // mov w1, #1
      "f6 03 09 aa", // mov x22, x9
      "f5 03 08 aa", // mov x21, x8
      "( .. .. .. .. )", // bl
      "e8 03 15 aa", // mov x8, x21
    ],
    loop: (program, address, call) => ({
      address,
      next: address + 8 + (((program.int32(address + 8) << 8) >> 13) << 2),
      setOption: call + ((program.int32(call) << 6) >> 4),
    }),
    callInstead: ({ address, next }, routine) => {
      const branch = (opcode: number, from: number, to: number) =>
        (opcode | (((to - from) >> 2) & 0x03ffffff)) >>> 0;
      const code = Buffer.alloc(12);
      code.writeUInt32LE(branch(0x94000000, address, routine), 0); // bl
      code.writeUInt32LE(branch(0x14000000, address + 4, next), 4); // b
      code.writeUInt32LE(0xd503201f, 8); // nop
      return code;
    },
  },
};

/** Makes the executable set its own options. Throws Error if the runtime is not the pinned one. */
export function addEngineOptions(program: ElfFile, architecture: Processor): void {
  const { code, loop, callInstead } = PATTERNS[architecture];
  const text = program.section(".text");
  const [match, second] = program.text(text).matchAll(bytePattern(code));
  const [address, call] = [match?.indices?.[1]?.[0], match?.indices?.[2]?.[0]];
  if (address === undefined || call === undefined || second !== undefined)
    throw new Error(
      "the code that reads BUN_JSC_ was not found exactly once; see PATTERNS in engine-options.ts",
    );
  const found = loop(program, text.address + address, text.address + call);
  const routine = overwriteFunction(
    program,
    UNUSED_FUNCTION,
    setEngineOptions(architecture, found.setOption),
  );
  program.write(found.address, callInstead(found, routine));
}
