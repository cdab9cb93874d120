/**
 * Makes dist/nitro-x86_64, dist/nitro-aarch64 and dist/nitro, a copy of the one for this machine.
 *
 * The other architecture's runtime is brought by npm, in the version and with the integrity that package-lock.json
 * states. The same tree gives the same bytes: `bun build` is run in a directory of its own, on the same file names.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import lock from "./package-lock.json" with { type: "json" };

const ROOT = import.meta.dir;
const CACHE = join(ROOT, "node_modules/.cache/nitro");
const DIST = join(ROOT, "dist");

interface Target {
  readonly architecture: "x86_64" | "aarch64";
  /** Node's name for it. */
  readonly node: "x64" | "arm64";
  readonly runtime: "@oven/bun-linux-x64" | "@oven/bun-linux-aarch64";
}

const TARGETS: readonly Target[] = [
  { architecture: "x86_64", node: "x64", runtime: "@oven/bun-linux-x64" },
  { architecture: "aarch64", node: "arm64", runtime: "@oven/bun-linux-aarch64" },
];

/**
 * Names in the environment by which Bun's runtime can be made to run, load, listen, fetch or write what nitro does not
 * ask for, with how often each stands in the runtime's data as a name (not inside a message or a script's text). The
 * first byte of each is replaced by NUL in the built program: no environment holds such a name. The counts are
 * those of the pinned Bun; another count fails the build, for then somebody must look anew. A name comes after the
 * longer ones that begin with it.
 */
const CLOSED_NAMES: readonly (readonly [name: string, count: number])[] = [
  ["BUN_OPTIONS", 2], // arguments of bun's own, --preload among them
  ["BUN_BE_BUN", 1], // the whole of bun in place of nitro
  ["BUN_INSPECT_CONNECT_TO", 2], // a debugger that may run anything
  ["BUN_INSPECT_NOTIFY", 1],
  ["BUN_INSPECT_PRELOAD", 2],
  ["BUN_INSPECT", 2],
  ["BUN_TCC_OPTIONS", 1], // the compiler behind bun:ffi
  ["C_INCLUDE_PATH", 1],
  ["BUN_BYTECODE_ORDER_NAMES_OUT", 1], // files that are written
  ["BUN_BYTECODE_ORDER_OUT", 1],
  ["BUN_BYTECODE_DIGEST_OUT", 1],
  ["BUN_WATCHER_TRACE", 1],
  ["BUN_TRACE", 1],
  ["JSC_PROFILER_PATH", 1],
  ["BUN_RUNTIME_TRANSPILER_CACHE_PATH", 1],
  ["BUN_CRASH_REPORT_URL", 1], // what leaves the machine
  ["BUN_ENABLE_CRASH_REPORTING", 1],
  ["NODE_CHANNEL_FD", 2], // a descriptor that is read from
  ["NODE_EXTRA_CA_CERTS", 1], // files that are read
  ["BUN_GARBAGE_COLLECTOR_LEVEL", 2], // timers and memory
  ["BUN_GC_TIMER_INTERVAL", 2],
  ["BUN_GC_TIMER_DISABLE", 1],
  ["BUN_IDLE_GC_SECONDS", 1],
  ["BUN_DESTRUCT_VM_ON_EXIT", 1],
  ["BUN_FEATURE_FLAG_NO_ORPHANS", 2], // SIGKILL when the parent ends
  ["JavaScriptCoreUseJIT", 1], // without a JIT there is no bun:ffi
  ["JSC_SIGNAL_FOR_GC", 1], // the signal by which threads are stopped
];

/**
 * BUN_JSC_x sets the engine's option x, functionOverrides=FILE among them, which replaces the program's functions. The
 * runtime compares the name byte by byte in code, `J` at 4 and then `S` at 5. The second comparison is made to look at
 * byte 4 as well: no byte is both. Patterns are for a compare of that kind; `.` stands for any byte.
 */
const JSC_PREFIX: Readonly<
  Record<Target["architecture"], { code: RegExp; patch: (program: Buffer, at: number) => void }>
> = {
  x86_64: {
    // cmpb $'J', 4(%r); jne; cmpb $'S', 5(%r)
    code: /[\x40-\x4f]?\x80[\x78-\x7f]\x04J(?:\x75.|\x0f\x85....)[\x40-\x4f]?\x80[\x78-\x7f]\x05S/gs,
    patch: (program, at) => {
      const displacement = program.indexOf(Buffer.from([0x05, 0x53]), at);
      program[displacement] = 0x04;
    },
  },
  aarch64: {
    // ldrb w, [x, #4]; cmp w, #'J'; b.ne; ldrb w, [x, #5]; cmp w, #'S'
    code: /.[\x10-\x13]@9.[\x28-\x2b]\x01q...T.[\x14-\x17]@9.[\x4c-\x4f]\x01q/gs,
    patch: (program, at) => {
      const immediate = at + 3 * 4 + 1;
      program[immediate] = (program[immediate] ?? 0) & ~0x04;
    },
  },
};

/**
 * MIMALLOC_x sets the allocator's option x: MIMALLOC_RESERVE_HUGE_OS_PAGES and MIMALLOC_ALLOW_LARGE_OS_PAGES, which
 * hosts set for all of their programs, take the huge pages that the enclave is to have, and others print. The names are
 * put together from this prefix, whose first byte becomes `=`: a shell cannot set a name that begins so. Without any
 * first byte (NUL) the bare names of the options would be read. It is a number of eight bytes: in an instruction on
 * x86_64, among constants on aarch64.
 */
const MIMALLOC_PREFIX: Readonly<Record<Target["architecture"], { constant: RegExp; at: number }>> = {
  // movabs $'mimalloc', %r
  x86_64: { constant: /[\x48\x49][\xb8-\xbf]mimalloc/gs, at: 2 },
  aarch64: { constant: /mimalloc\x10\x11\x12\x13/gs, at: 0 },
};

function fail(message: string): never {
  console.error(`build: ${message}`);
  process.exit(1);
}

function run(command: readonly string[], cwd: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command], {
    cwd,
    env: { ...process.env, BUN_OPTIONS: "" },
  });
  if (exitCode !== 0) fail(`${command.join(" ")}: ${stderr.toString()}${stdout.toString()}`);
  return stdout.toString();
}

/** The runtime's executable for a target: what npm installed, or fetched by npm and checked. */
function runtimeFor(target: Target): string {
  // The bun that runs this is the very file that npm installed and checked.
  if (process.arch === target.node) return process.execPath;
  const locked = lock.packages[`node_modules/${target.runtime}`];
  const directory = join(CACHE, `${target.runtime.replace("/", "-")}-${locked.version}`);
  const runtime = join(directory, "package/bin/bun");
  if (existsSync(runtime)) return runtime;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, "fetch-"));
  try {
    run(["npm", "pack", "--silent", `${target.runtime}@${locked.version}`], work);
    const tarball = join(work, `${target.runtime.slice(1).replace("/", "-")}-${locked.version}.tgz`);
    const integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
    if (integrity !== locked.integrity) {
      fail(`${target.runtime}@${locked.version} is ${integrity}, package-lock.json says ${locked.integrity}`);
    }
    run(["tar", "-xzf", tarball, "package/bin/bun"], work);
    rmSync(tarball);
    rmSync(directory, { recursive: true, force: true });
    renameSync(work, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return runtime;
}

/** Replaces the first byte of every name of CLOSED_NAMES and of the allocator's, and mends the comparison with BUN_JSC_. */
function close(program: Buffer, runtimeSize: number, architecture: Target["architecture"]): void {
  for (const [name, expected] of CLOSED_NAMES) {
    let found = 0;
    for (let at = program.indexOf(name); at !== -1 && at < runtimeSize; at = program.indexOf(name, at + 1)) {
      const before = String.fromCharCode(program[at - 1] ?? 0);
      const after = String.fromCharCode(program[at + name.length] ?? 0);
      // In a message or a script a name stands after a blank, a dot, a quote; a longer name goes on with an underscore.
      if (/[ ."'`[(_]/.test(before) || /[_=]/.test(after)) continue;
      program[at] = 0;
      found++;
    }
    if (found !== expected)
      fail(`${name} stands ${found} times in the runtime, not ${expected}: see CLOSED_NAMES`);
  }
  const text = program.toString("latin1", 0, runtimeSize);
  const { constant, at } = MIMALLOC_PREFIX[architecture];
  const prefixes = [...text.matchAll(constant)];
  if (prefixes.length !== 1)
    fail(`the prefix of the allocator's names was found ${prefixes.length} times: see MIMALLOC_PREFIX`);
  for (const { index } of prefixes) program[index + at] = "=".charCodeAt(0);
  const { code, patch } = JSC_PREFIX[architecture];
  const matches = [...text.matchAll(code)];
  if (matches.length !== 1)
    fail(`the comparison with BUN_JSC_ was found ${matches.length} times: see JSC_PREFIX`);
  for (const { index } of matches) patch(program, index);
}

function build(target: Target): string {
  const runtime = runtimeFor(target);
  const work = mkdtempSync(join(CACHE, "build-"));
  const output = join(DIST, `nitro-${target.architecture}`);
  try {
    run(
      [
        process.execPath,
        "build",
        join(ROOT, "src/main.ts"),
        "--compile",
        `--target=bun-linux-${target.node}`,
        `--compile-executable-path=${runtime}`,
        "--minify",
        "--bytecode",
        "--splitting",
        "--format=esm",
        "--compile-jit-policy=8", // until sys/jit.ts says otherwise
        "--no-compile-autoload-bunfig",
        "--no-compile-autoload-dotenv",
        "--no-compile-autoload-tsconfig",
        "--no-compile-autoload-package-json",
        `--outfile=${join(work, "nitro")}`,
      ],
      ROOT,
    );
    const program = readFileSync(join(work, "nitro"));
    close(program, statSync(runtime).size, target.architecture);
    writeFileSync(join(work, "nitro"), program);
    chmodSync(join(work, "nitro"), 0o755);
    renameSync(join(work, "nitro"), output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return output;
}

mkdirSync(CACHE, { recursive: true });
mkdirSync(DIST, { recursive: true });
for (const target of TARGETS) {
  const output = build(target);
  const digest = createHash("sha256").update(readFileSync(output)).digest("hex");
  console.log(`${digest}  ${output.slice(ROOT.length + 1)}`);
  if (process.arch === target.node) {
    copyFileSync(output, join(DIST, "nitro.new"));
    renameSync(join(DIST, "nitro.new"), join(DIST, "nitro"));
  }
}
