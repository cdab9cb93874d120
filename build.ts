/**
 * Builds dist/nitro-x86_64, dist/nitro-aarch64 and dist/nitro, a copy of the one for this machine, the man page, the
 * completions of the shells, the notices of third parties and the software bill of materials.
 *
 * npm provides the runtime of the other architecture, in the version and with the integrity of package-lock.json. The
 * same tree gives the same bytes, because the compiler always runs on the same file names.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import lock from "./package-lock.json" with { type: "json" };
import { bashCompletion } from "./src/cli/completion/bash.ts";
import { describeCommands } from "./src/cli/completion/description.ts";
import { fishCompletion } from "./src/cli/completion/fish.ts";
import { zshCompletion } from "./src/cli/completion/zsh.ts";
import { manPage } from "./src/cli/man-page.ts";
import type { Processor } from "./src/executable/added-code.ts";
import { ElfFile } from "./src/executable/elf.ts";
import { addEngineOptions } from "./src/executable/engine-options.ts";
import { addEntryCheck } from "./src/executable/entry-check.ts";
import { COMPONENTS } from "./src/licenses/components.ts";
import { thirdPartyNotices } from "./src/licenses/notices.ts";
import { softwareBillOfMaterials } from "./src/licenses/sbom.ts";

const ROOT = import.meta.dir;
const MAIN = join(ROOT, "src/main.ts");
const CACHE = join(ROOT, "node_modules/.cache/nitro");
const DIST = join(ROOT, "dist");

interface Target {
  readonly architecture: Processor;
  /** Node's name of the architecture. */
  readonly node: "x64" | "arm64";
  readonly runtime: "@oven/bun-linux-x64" | "@oven/bun-linux-aarch64";
}

const TARGETS: readonly Target[] = [
  { architecture: "x86_64", node: "x64", runtime: "@oven/bun-linux-x64" },
  { architecture: "aarch64", node: "arm64", runtime: "@oven/bun-linux-aarch64" },
];

/** Environment variables of the runtime that have no effect in the built program. */
interface ClosedVariables {
  /** What an attacker who controls them could do to a program that runs as root. */
  readonly risk: string;
  /** What to look for when Bun is updated. */
  readonly onUpdate: string;
  /** Each name, and how often it occurs in the data of the pinned runtime as a name of its own. */
  readonly names: readonly (readonly [name: string, count: number])[];
}

/**
 * A compiled Bun program still obeys these variables, and no build option turns all of them off. `closeVariables`
 * replaces the first byte of each name with NUL, so that no environment can contain it. A count that differs fails
 * the build: after an update of Bun, list the names of the new runtime (`strings`), read its sources for new ones,
 * and correct the table. A name that starts with another one comes before it.
 */
const CLOSED_VARIABLES: readonly ClosedVariables[] = [
  {
    risk: "run other code in place of nitro or before it",
    onUpdate: "new ways to pass arguments, to preload, or to become the plain bun command",
    names: [
      ["BUN_OPTIONS", 2], // arguments of bun, --preload among them
      ["BUN_BE_BUN", 1], // behave as the bun command
      ["BUN_TCC_OPTIONS", 1], // the compiler behind bun:ffi
      ["C_INCLUDE_PATH", 1],
    ],
  },
  {
    risk: "attach a debugger, which can evaluate code",
    onUpdate: "new transports of the inspector",
    names: [
      ["BUN_INSPECT_CONNECT_TO", 2],
      ["BUN_INSPECT_NOTIFY", 1],
      ["BUN_INSPECT_PRELOAD", 2],
      ["BUN_INSPECT", 2],
    ],
  },
  {
    risk: "create or overwrite files",
    onUpdate: "new traces, caches and profiles whose path comes from the environment",
    names: [
      ["BUN_BYTECODE_ORDER_NAMES_OUT", 1],
      ["BUN_BYTECODE_ORDER_OUT", 1],
      ["BUN_BYTECODE_DIGEST_OUT", 1],
      ["BUN_WATCHER_TRACE", 1],
      ["BUN_TRACE", 1],
      ["JSC_PROFILER_PATH", 1],
      ["BUN_RUNTIME_TRANSPILER_CACHE_PATH", 1],
    ],
  },
  {
    risk: "send data to another machine, read a descriptor or a file",
    onUpdate: "new reporting, channels and certificate stores",
    names: [
      ["BUN_CRASH_REPORT_URL", 1],
      ["BUN_ENABLE_CRASH_REPORTING", 1],
      ["NODE_CHANNEL_FD", 2],
      ["NODE_EXTRA_CA_CERTS", 1],
    ],
  },
  {
    risk: "end the enclave or change its timing: garbage collection, the JIT, exit with the parent",
    onUpdate: "new options of the collector and the compiler; bun:ffi needs the JIT",
    names: [
      ["BUN_GARBAGE_COLLECTOR_LEVEL", 2],
      ["BUN_GC_TIMER_INTERVAL", 2],
      ["BUN_GC_TIMER_DISABLE", 1],
      ["BUN_IDLE_GC_SECONDS", 1],
      ["BUN_DESTRUCT_VM_ON_EXIT", 1],
      ["BUN_FEATURE_FLAG_NO_ORPHANS", 2], // SIGKILL when the parent exits
      ["JavaScriptCoreUseJIT", 1],
      ["JSC_SIGNAL_FOR_GC", 1], // the signal that suspends threads
    ],
  },
];

/**
 * MIMALLOC_X sets option X of the allocator. MIMALLOC_RESERVE_HUGE_OS_PAGES and MIMALLOC_ALLOW_LARGE_OS_PAGES, which
 * some hosts set for all programs, would take the huge pages that the enclave needs; others print. The allocator has a
 * function of its own that searches the environment, up to entry 10000; it returns at once where there is no
 * environment. The patch makes it always return there, so that no name has an effect. When Bun is updated and the
 * pattern is not found exactly once, disassemble the function that is called after `mimalloc_` was written to the
 * stack, and write the new pattern; `.` stands for any byte.
 */
const MIMALLOC_ENVIRONMENT: Readonly<
  Record<Processor, { code: RegExp; patch: (program: Buffer, at: number) => void }>
> = {
  x86_64: {
    // mov (%rax),%rdx; test %rdx,%rdx; je; xor %r9d,%r9d; jmp; ...; cmp $10000,%r9
    code: /\x48\x8b\x10\x48\x85\xd2\x0f\x84....\x45\x31\xc9\xeb..{1,40}?\x49\x81\xf9\x10\x27\x00\x00/gs,
    // xor %rdx,%rdx
    patch: (program, at) => {
      program[at + 4] = 0x31;
    },
  },
  aarch64: {
    // ldr x9, [x9]; cbz x9; stp x29, x30, [sp, #-16]!; mov x29, sp; mov x10, xzr; mov w11, #10000
    code: /\x29\x01\x40\xf9...\xb4\xfd\x7b\xbf\xa9\xfd\x03\x00\x91\xea\x03\x1f\xaa\x0b\xe2\x84\x52/gs,
    // b, to the same place
    patch: (program, at) => {
      const instructions = (program.readUInt32LE(at + 4) >> 5) & 0x7ffff;
      program.writeUInt32LE(0x14000000 | instructions, at + 4);
    },
  },
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

/**
 * Fails unless this file is run by the bun that npm installed in the version of package-lock.json: another one could
 * have other variables than those of CLOSED_VARIABLES, and no integrity that was verified.
 */
function checkRuntime(): void {
  const { version } = lock.packages["node_modules/bun"];
  const installed = join(ROOT, "node_modules/bun/bin");
  if (Bun.version === version && realpathSync(process.execPath).startsWith(`${realpathSync(installed)}/`))
    return;
  fail(
    `this is ${process.execPath}, version ${Bun.version}; the build needs version ${version} in ${installed}.\n` +
      "Run: npm ci && npm run build",
  );
}

/** Returns the path of the runtime for a target: the one that npm installed, or one fetched with npm and verified. */
function runtimeFor(target: Target): string {
  // The bun that runs this file was installed and verified by npm.
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
      fail(
        `${target.runtime}@${locked.version} has ${integrity}, package-lock.json requires ${locked.integrity}`,
      );
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

/**
 * Makes the environment variables of the runtime ineffective, except for those of its engine (addEngineOptions). Fails
 * if the runtime is not the one that was examined.
 */
function closeEnvironment(program: Buffer, runtimeSize: number, architecture: Processor): void {
  closeVariables(program, runtimeSize);
  const text = program.toString("latin1", 0, runtimeSize);
  const { code, patch } = MIMALLOC_ENVIRONMENT[architecture];
  patch(program, theOnly(text, code, "MIMALLOC_ENVIRONMENT"));
}

function closeVariables(program: Buffer, runtimeSize: number): void {
  for (const { risk, onUpdate, names } of CLOSED_VARIABLES) {
    for (const [name, expected] of names) {
      const found = occurrences(program, runtimeSize, name);
      for (const at of found) program[at] = 0;
      if (found.length === expected) continue;
      fail(
        `${name} occurs ${found.length} times in the runtime, not ${expected}.\n` +
          `This variable could ${risk}. Examine the runtime for ${onUpdate}, and correct CLOSED_VARIABLES.`,
      );
    }
  }
}

/** Returns the offsets of a name, not as a part of a longer name, a message or a script. */
function occurrences(program: Buffer, runtimeSize: number, name: string): number[] {
  const found: number[] = [];
  for (let at = program.indexOf(name); at !== -1 && at < runtimeSize; at = program.indexOf(name, at + 1)) {
    const before = String.fromCharCode(program[at - 1] ?? 0);
    const after = String.fromCharCode(program[at + name.length] ?? 0);
    if (!/[ ."'`[(_]/.test(before) && !/[_=]/.test(after)) found.push(at);
  }
  return found;
}

/** Returns the offset of the only match of a pattern, or fails. @param table the table that has the pattern. */
function theOnly(text: string, pattern: RegExp, table: string): number {
  const [match, second] = text.matchAll(pattern);
  if (match !== undefined && second === undefined) return match.index;
  const count = match === undefined ? "not found" : "found more than once";
  fail(`the code of ${table} was ${count} in the runtime. Examine the new runtime, and correct ${table}.`);
}

/** Throws if the compiler reports an error. */
async function bundle(config: Partial<Bun.BuildConfig>): Promise<Bun.BuildOutput> {
  const common = {
    entrypoints: [MAIN],
    target: "bun",
    format: "esm",
    minify: true,
    splitting: true,
  } as const;
  const output = await Bun.build({ ...common, ...config, throw: false } as Bun.BuildConfig);
  if (!output.success) fail(output.logs.join("\n"));
  return output;
}

/**
 * Makes the compiler write all modules that main.ts imports statically into one chunk. It groups modules by the set of
 * entry points that reach them, and every `import()` is an entry point: without this a launch loads 36 chunks, which
 * takes 0.8 ms longer (4 % of a launch to NE_START_ENCLAVE with 64 MiB). With an import of main.ts's imports in front of every module that is
 * loaded by `import()`, all entry points reach them. They are loaded by then, so the imports change nothing else.
 */
async function oneLaunchChunk(): Promise<Bun.BunPlugin> {
  const { metafile } = await bundle({ metafile: true });
  if (metafile === undefined) fail("the compiler returned no list of modules");
  const importsOf = (module: string) => metafile.inputs[module]?.imports ?? [];
  const statically = (module: string) =>
    importsOf(module).flatMap(({ path, kind }) => (kind === "import-statement" ? [path] : []));
  const main = relative(ROOT, MAIN);
  const loaded = new Set([main]);
  for (const module of loaded) for (const path of statically(module)) loaded.add(path);
  const lazy = new Set<string>();
  for (const { entryPoint } of Object.keys(metafile.inputs).flatMap(importsOf)) {
    if (entryPoint !== undefined && !loaded.has(entryPoint)) lazy.add(join(ROOT, entryPoint));
  }
  if (lazy.size === 0) fail("the compiler's list of modules has no import()");
  checkLicenses(Object.keys(metafile.inputs));
  const prefix = statically(main).map((path) => `import ${JSON.stringify(join(ROOT, path))};`);
  return {
    name: "one-launch-chunk",
    setup(compiler) {
      compiler.onLoad({ filter: /\.ts$/ }, ({ path }) =>
        lazy.has(path) ? { contents: prefix.join("") + readFileSync(path, "utf8"), loader: "ts" } : undefined,
      );
    },
  };
}

/** Fails if a package is bundled that `nitro licenses` does not list. */
function checkLicenses(modules: readonly string[]): void {
  for (const module of modules) {
    const [, name] = /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(module) ?? [];
    if (name === undefined || COMPONENTS.some((component) => component.npm && component.name === name))
      continue;
    fail(`the package ${name} is bundled; add it to src/licenses/components.ts`);
  }
}

async function build(target: Target, plugin: Bun.BunPlugin): Promise<string> {
  const runtime = runtimeFor(target);
  const work = mkdtempSync(join(CACHE, "build-"));
  const output = join(DIST, `nitro-${target.architecture}`);
  try {
    await bundle({
      bytecode: true,
      plugins: [plugin],
      compile: {
        target: `bun-linux-${target.node}`,
        executablePath: runtime,
        jitPolicy: 64, // sys/engine.ts restores the usual thresholds
        autoloadBunfig: false,
        autoloadDotenv: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
        outfile: join(work, "nitro"),
      },
    });
    const program = readFileSync(join(work, "nitro"));
    closeEnvironment(program, statSync(runtime).size, target.architecture);
    const file = new ElfFile(program);
    addEngineOptions(file, target.architecture);
    addEntryCheck(file, new ElfFile(readFileSync(runtime)), target.architecture);
    writeFileSync(join(work, "nitro"), program);
    chmodSync(join(work, "nitro"), 0o755);
    renameSync(join(work, "nitro"), output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return output;
}

checkRuntime();
mkdirSync(CACHE, { recursive: true });
mkdirSync(DIST, { recursive: true });
const plugin = await oneLaunchChunk();
for (const target of TARGETS) {
  const output = await build(target, plugin);
  const digest = createHash("sha256").update(readFileSync(output)).digest("hex");
  console.log(`${digest}  ${output.slice(ROOT.length + 1)}`);
  if (process.arch === target.node) {
    copyFileSync(output, join(DIST, "nitro.new"));
    renameSync(join(DIST, "nitro.new"), join(DIST, "nitro"));
  }
}

const commands = await describeCommands();
mkdirSync(join(DIST, "completions"), { recursive: true });
writeFileSync(join(DIST, "nitro.1"), await manPage(commands));
writeFileSync(join(DIST, "completions/nitro.bash"), bashCompletion(commands));
writeFileSync(join(DIST, "completions/_nitro"), zshCompletion(commands));
writeFileSync(join(DIST, "completions/nitro.fish"), fishCompletion(commands));
writeFileSync(join(DIST, "THIRD_PARTY"), thirdPartyNotices());
writeFileSync(join(DIST, "nitro.cdx.json"), softwareBillOfMaterials());
