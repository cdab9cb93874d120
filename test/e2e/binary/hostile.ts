/**
 * A hostile environment of a program that root starts: a working directory with files that Bun reads, and environment
 * variables that Bun obeys. Each of them would run a script that creates a file, or write a file.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { Directory } from "./nitro.ts";

/** The working directory. `mark` exists once one of its files has been executed. */
export class HostileDirectory extends Directory {
  readonly mark = this.file("mark");
  readonly script = this.file("evil.cjs");
  #before: readonly string[];

  constructor() {
    super();
    writeFileSync(
      this.script,
      `require("node:fs").writeFileSync(${JSON.stringify(this.mark)}, "ran"); console.log("evil");\n`,
    );
    const preload = `preload = [${JSON.stringify(this.script)}]\n`;
    writeFileSync(this.file("bunfig.toml"), `${preload}[run]\n${preload}[test]\n${preload}`);
    writeFileSync(this.file(".env"), `BUN_OPTIONS=--preload=${this.script}\nBUN_BE_BUN=1\nMARK=1\n`);
    writeFileSync(
      this.file("tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          jsx: "react-jsx",
          jsxImportSource: "./evil.cjs",
          paths: { citty: ["./evil.cjs"], "zod/mini": ["./evil.cjs"], "*": ["./evil.cjs"] },
        },
      }),
    );
    writeFileSync(
      this.file("package.json"),
      JSON.stringify({
        imports: { "#*": "./evil.cjs" },
        main: "./evil.cjs",
        scripts: { preversion: "./evil.cjs" },
      }),
    );
    mkdirSync(this.file("node_modules/citty"), { recursive: true });
    writeFileSync(this.file("node_modules/citty/index.js"), 'require("../../evil.cjs");\n');
    writeFileSync(
      this.file("overrides.txt"),
      "override (args) {return 1;}\nwith (args) { throw new Error('evil'); }\n",
    );
    this.#before = this.#files();
  }

  #files(): string[] {
    return readdirSync(this.path, { recursive: true, encoding: "utf8" }).sort();
  }

  /** Returns the files that were created: none, unless the program obeyed something. */
  made(): string[] {
    return this.#files().filter((name) => !this.#before.includes(name));
  }

  get ran(): boolean {
    return existsSync(this.mark);
  }

  /** Variables that Bun's runtime obeys, with values that do harm here. */
  get variables(): readonly (readonly [name: string, value: string])[] {
    const out = this.file("written");
    return [
      ["BUN_OPTIONS", `--preload=${this.script}`],
      ["BUN_OPTIONS", `--require ${this.script}`],
      ["BUN_OPTIONS", "--print 1"],
      ["BUN_OPTIONS", ""],
      ["BUN_BE_BUN", "1"],
      ["BUN_INSPECT", `ws+unix://${this.file("socket")}`],
      ["BUN_INSPECT", "127.0.0.1:0?break=1"],
      ["BUN_INSPECT_CONNECT_TO", `ws+unix://${this.file("socket")}`],
      ["BUN_INSPECT_NOTIFY", `unix://${this.file("socket")}`],
      ["BUN_INSPECT_PRELOAD", this.script],
      ["BUN_TCC_OPTIONS", `-include ${this.script}`],
      ["C_INCLUDE_PATH", this.path],
      ["BUN_BYTECODE_ORDER_OUT", out],
      ["BUN_BYTECODE_ORDER_NAMES_OUT", out],
      ["BUN_BYTECODE_DIGEST_OUT", out],
      ["BUN_WATCHER_TRACE", out],
      ["BUN_TRACE", out],
      ["JSC_PROFILER_PATH", out],
      ["BUN_RUNTIME_TRANSPILER_CACHE_PATH", this.file("cache")],
      ["BUN_CRASH_REPORT_URL", "http://127.0.0.1:1/"],
      ["BUN_ENABLE_CRASH_REPORTING", "1"],
      ["NODE_CHANNEL_FD", "0"],
      ["NODE_EXTRA_CA_CERTS", this.script],
      ["NODE_OPTIONS", `--require ${this.script}`],
      ["BUN_GARBAGE_COLLECTOR_LEVEL", "2"],
      ["BUN_GC_TIMER_INTERVAL", "1"],
      ["BUN_GC_TIMER_DISABLE", "1"],
      ["BUN_IDLE_GC_SECONDS", "1"],
      ["BUN_DESTRUCT_VM_ON_EXIT", "1"],
      ["BUN_JSC_functionOverrides", this.file("overrides.txt")],
      ["BUN_JSC_useJIT", "0"],
      ["BUN_JSC_dumpOptions", "1"],
      ["BUN_JSC_dumpOptions", "3"],
      ["BUN_JSC_logGC", "2"],
      ["BUN_JSC_useSamplingProfiler", "1"],
      ["BUN_JSC_noSuchOption", "1"],
      ["JSC_dumpOptions", "1"],
      ["MIMALLOC_VERBOSE", "1"],
      ["MIMALLOC_SHOW_STATS", "1"],
      ["MIMALLOC_RESERVE_HUGE_OS_PAGES", "1"],
      ["mimalloc_verbose", "1"],
      ["=imalloc_verbose", "1"],
      ["=IMALLOC_VERBOSE", "1"],
      ["=IMALLOC_RESERVE_HUGE_OS_PAGES", "1"],
      ["VERBOSE", "1"],
      ["imalloc_verbose", "1"],
      ["JavaScriptCoreUseJIT", "0"],
      ["JSC_SIGNAL_FOR_GC", "10"],
      ["BUN_FEATURE_FLAG_NO_ORPHANS", "1"],
      ["BUN_DEBUG", out],
      ["BUN_DEBUG_ALL", "1"],
      ["BUN_CONFIG_VERBOSE_FETCH", "1"],
      ["DO_NOT_TRACK", "0"],
      ["FORCE_COLOR", "3"],
      ["MARK", ""],
    ];
  }
}
