/** The rules of the source that a program can check. Each failure lists the places and says what to do. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { dependencies, devDependencies } from "../package.json" with { type: "json" };
import lock from "../package-lock.json" with { type: "json" };
import { proseOf } from "./support/prose.ts";

const ROOT = join(import.meta.dir, "..");

interface Source {
  /** From the project's root: `src/sys/poll.ts`. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly text: string;
}

function sources(directory: string): Source[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.includes("node_modules"))
    .sort()
    .map((name) => {
      const text = readFileSync(join(ROOT, directory, name), "utf8");
      return { path: `${directory}/${name}`, text, lines: text.split("\n") };
    });
}

const SRC = sources("src");
const TEST = sources("test");
const ALL = [...SRC, ...TEST];

/** Returns the lines that match, each with its place; with `code`, comments are ignored. */
function places(files: readonly Source[], pattern: RegExp, what: "text" | "code" = "code"): string[] {
  return files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => {
      const isComment = /^\s*(\/\/|\/?\*)/.test(line);
      const searched = what === "code" ? line.replace(/\s\/\/ .*$/, "") : line;
      return (what === "text" || !isComment) && pattern.test(searched)
        ? [`${path}:${i + 1}: ${line.trim()}`]
        : [];
    }),
  );
}

/** Passes if nothing was found; otherwise fails with the places and the advice. */
function none(found: readonly string[], advice: string): void {
  if (found.length > 0) throw new Error(`${advice}:\n  ${found.join("\n  ")}`);
  expect(found).toEqual([]);
}

/** Returns the directory of src that a path is in, or a file directly in src: `sys`, `main.ts`. */
function directoryOf(path: string): string {
  return path.split("/")[1] ?? "";
}

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
  /** import(): loaded when the call is executed. */
  readonly onDemand: boolean;
}

function imports(): Import[] {
  return SRC.flatMap(({ path, text }) =>
    [...text.matchAll(/(import|export)( type)?\b[^;"]*?"([^"]+)"/g)]
      .filter(([, , , target = ""]) => target.startsWith(".") && target.endsWith(".ts"))
      .map(([whole, , type, target = ""]) => ({
        from: path,
        to: normalize(join(path, "..", target)),
        typeOnly: type !== undefined,
        onDemand: whole.startsWith("import("),
      })),
  );
}

/** The layers from the top; a directory imports from its own layer and from lower ones only. */
const LAYERS = [
  ["main.ts"],
  ["cli"],
  ["check"],
  ["launch"],
  ["pool"],
  ["monitor", "devices", "chardev", "enclave", "eif", "host", "executable", "licenses"],
  ["sys"],
];

function layerOf(directory: string): number {
  return LAYERS.findIndex((layer) => layer.includes(directory));
}

describe("the direction of imports", () => {
  test("imports: every directory of src has a layer", () => {
    const unknown = [...new Set(SRC.map(({ path }) => directoryOf(path)))].filter(
      (name) => layerOf(name) === -1,
    );
    none(unknown, "give the directory a place in LAYERS, and in src/README.md");
  });

  test("imports go down: main, cli, check, launch, pool, then those that launch connects, then sys", () => {
    const up = imports().filter(
      ({ from, to }) => to.startsWith("src/") && layerOf(directoryOf(to)) < layerOf(directoryOf(from)),
    );
    none(
      up.map(({ from, to }) => `${from} imports ${to}`),
      "pass the value in from above, or move what both need down",
    );
  });

  test("imports: directories of one layer do not import each other, except for types of character devices", () => {
    const across = imports().filter(({ from, to, typeOnly }) => {
      const [here, there] = [directoryOf(from), directoryOf(to)];
      const sink = typeOnly && ["src/chardev/byte-output.ts", "src/chardev/chardev.ts"].includes(to);
      return here !== there && layerOf(here) === layerOf(there) && !sink;
    });
    none(
      across.map(({ from, to }) => `${from} imports ${to}`),
      "let launch connect them: pass a value or a function in",
    );
  });

  test("imports: src does not import from test", () => {
    none(places(SRC, /from "[./]*\/test\//), "move it into src, or copy it");
  });

  test("imports: no cycle, types included", () => {
    const edges = new Map<string, string[]>();
    for (const { from, to } of imports()) edges.set(from, [...(edges.get(from) ?? []), to]);
    const cycles: string[] = [];
    const visit = (path: string, way: readonly string[]) => {
      if (way.includes(path)) cycles.push([...way.slice(way.indexOf(path)), path].join(" → "));
      else for (const next of edges.get(path) ?? []) visit(next, [...way, path]);
    };
    visit("src/main.ts", []);
    none([...new Set(cycles)], "break the cycle: move what both need into a separate file");
  });
});

/** Files that a plain launch does not load, and the modules of Node that they may import. */
const NODE_MODULES: readonly { readonly file: string; readonly modules: readonly string[] }[] = [
  { file: "src/eif/signing/", modules: ["crypto"] },
  { file: "src/eif/sign.ts", modules: ["path"] },
  { file: "src/eif/kernel/unpack.ts", modules: ["zlib"] },
  { file: "src/eif/initramfs/ramdisk-stream.ts", modules: ["zlib"] },
  { file: "src/eif/pcr.ts", modules: ["path"] },
  { file: "src/eif/extract.ts", modules: ["fs", "path"] },
  { file: "src/eif/describe.ts", modules: ["path"] },
  { file: "src/eif/verify.ts", modules: ["path"] },
  { file: "src/eif/output.ts", modules: ["fs", "path"] },
  { file: "src/eif/build.ts", modules: ["path"] },
];

describe("access to the system", () => {
  test("bun:ffi: is imported in sys/libc.ts only", () => {
    const others = SRC.filter(({ path }) => path !== "src/sys/libc.ts");
    none(places(others, /bun:ffi/), "add the call to sys/libc.ts, and wrap it in sys/");
  });

  test("process.exit and output: are in main only", () => {
    const others = SRC.filter(({ path }) => path !== "src/main.ts");
    none(
      places(
        others,
        /process\.(exit|abort|kill|stdout|stderr)|\bconsole\.\w+\(|(writeAll|messageWriter)\(system, (1|2|STDOUT|STDERR)\b/,
      ),
      "throw a UserError, or accept a `report` function as an argument",
    );
  });

  test("environment and working directory: are not read", () => {
    // The build time of an image: https://reproducible-builds.org/specs/source-date-epoch/
    const builder = "src/cli/commands/eif-build.ts";
    const found = places(SRC, /process\.(env|cwd)|Bun\.env|import\.meta\.env/);
    none(
      found.filter(
        (place) => !(place.startsWith(builder) && place.includes('process.env["SOURCE_DATE_EPOCH"]')),
      ),
      "make it an option",
    );
  });

  test("Node's modules: are imported only in files that a plain launch does not load", () => {
    const others = SRC.filter(({ path }) => !NODE_MODULES.some(({ file }) => path.startsWith(file)));
    none(
      places(others, /(from|import|require)\s*\(?"(node:|fs|path|os|child_process|crypto|util)/),
      "use sys/",
    );
    for (const { file, modules } of NODE_MODULES) {
      const own = SRC.filter(({ path }) => path.startsWith(file));
      expect([file, own.length > 0]).toEqual([file, true]);
      const other = new RegExp(`(from|import|require)\\s*\\(?"node:(?!(${modules.join("|")})")`);
      none(places(own, other), `of Node's modules ${file} may import only ${modules.join(", ")}`);
    }
  });

  test("plain launch: no chain of imports leads from main to Node's modules", () => {
    const edges = imports();
    const loaded = new Set(["src/main.ts"]);
    for (const path of loaded) {
      for (const { from, to, typeOnly, onDemand } of edges) {
        if (from === path && !typeOnly && !onDemand) loaded.add(to);
      }
    }
    const off = [...loaded].filter((path) => NODE_MODULES.some(({ file }) => path.startsWith(file)));
    none(off, "load it with import() where it is needed");
    expect(loaded.size).toBeGreaterThan(20);
  });

  test("programs and code: src starts no other program and evaluates no code", () => {
    none(
      places(SRC, /Bun\.(spawn|\$)|new Function\(|\beval\(|child_process/),
      "an enclave's descriptor must not leak",
    );
  });
});

describe("size", () => {
  const MOST_LINES = 300;
  const MOST_COLUMNS = 120;
  const MOST_FUNCTION_LINES = 60;

  test(`size: a file has at most ${MOST_LINES} lines`, () => {
    const long = SRC.filter(({ lines }) => lines.length > MOST_LINES + 1);
    none(
      long.map(({ path, lines }) => `${path}: ${lines.length - 1} lines`),
      "split the file by subject",
    );
  });

  test(`size: a line has at most ${MOST_COLUMNS} columns`, () => {
    none(
      SRC.flatMap(({ path, lines }) =>
        lines.flatMap((line, i) => (line.length > MOST_COLUMNS ? [`${path}:${i + 1}: ${line.length}`] : [])),
      ),
      "break the line; split a long text into strings joined by +",
    );
  });

  test(`size: a function has at most ${MOST_FUNCTION_LINES} lines`, () => {
    // The formatter puts a function's end at the indentation of its beginning.
    const begins =
      /^(\s*)(?:(?:export )?(?:async )?function\b|(?:(?:static|async|private|get|set) )*#?\w+\(.*\).*\{$)/;
    const opensBlock = /^\s*(if|for|while|switch|catch)\b/;
    const long = SRC.flatMap(({ path, lines }) =>
      lines.flatMap((line, i) => {
        const indent = begins.exec(line)?.[1];
        if (indent === undefined || opensBlock.test(line)) return [];
        const end = lines.findIndex((candidate, j) => j > i && candidate.startsWith(`${indent}}`));
        return end - i + 1 > MOST_FUNCTION_LINES ? [`${path}:${i + 1}: ${end - i + 1} lines`] : [];
      }),
    );
    none(long, "extract its steps into functions");
  });
});

describe("types", () => {
  test("types: no any, no non-null assertion, no disabled check", () => {
    none(places(ALL, /(:|<|as|,) any\b(?! )|\bany\[\]/), "use unknown and check it, or a type parameter");
    none(places(SRC, /\w!(\.|;|,|\)|\[)/), "check for undefined");
    none(
      places(ALL, new RegExp(["@ts-", "(ignore|expect-error|nocheck)"].join("")), "text"),
      "fix the types",
    );
    none(places(SRC, /biome-ignore/, "text"), "write it so that Biome accepts it");
  });

  test("doc comments: every export of src has one, or follows constants that share one", () => {
    const bare = SRC.filter(({ path }) => !path.startsWith("src/sys/linux/")).flatMap(({ path, lines }) =>
      lines.flatMap((line, i) => {
        if (!/^export (?!\{|\*)/.test(line)) return [];
        const above = lines[i - 1] ?? "";
        const trailing = /\/\/ \S/.test(line);
        // Constants one after another share the comment of the first.
        const sibling = /^export const .*;$/.test(line) && /^export const .*;$/.test(above);
        return above.endsWith("*/") || trailing || sibling ? [] : [`${path}:${i + 1}: ${line}`];
      }),
    );
    none(bare, "describe it in one sentence, in /** … */ directly above");
  });

  test("file comments: every file of src begins with one", () => {
    const bare = SRC.filter(({ lines }) => !lines[0]?.startsWith("/**")).map(({ path }) => path);
    none(bare, "begin the file with /** … */");
  });
});

describe("the kernel's constants", () => {
  const files = SRC.filter(({ path }) => path.startsWith("src/sys/linux/"));

  test("kernel constants: each file names its header, and has data only", () => {
    expect(files.length).toBeGreaterThan(5);
    const bare = files.filter(({ lines }) => !/^\/\*\* include\/.*\.h/.test(lines[0] ?? ""));
    none(
      bare.map(({ path }) => path),
      "begin with /** include/….h: … Data only. */",
    );
    none(places(files, /\bfunction\b|=>|\bclass\b/), "a file per header, data only: put functions into sys/");
  });

  test("constants: none is exported twice, and none of sys is declared again elsewhere", () => {
    const declared = SRC.flatMap(({ path, text }) =>
      [...text.matchAll(/^(export )?const ([A-Z][A-Z0-9_]*)\b/gm)].map(([, exported, name = ""]) => ({
        path,
        name,
        isExported: exported !== undefined,
      })),
    );
    const twice = [...Map.groupBy(declared, ({ name }) => name)].filter(([, places]) => {
      const exports = places.filter(({ isExported }) => isExported);
      return exports.length > 1 || (places.length > 1 && exports[0]?.path.startsWith("src/sys/"));
    });
    none(
      twice.map(([name, places]) => `${name}: ${places.map(({ path }) => path).join(", ")}`),
      "import the constant, or give the other one a name of its own",
    );
    expect(declared.length).toBeGreaterThan(100);
  });

  test("kernel constants: are declared in sys/linux only", () => {
    const elsewhere = SRC.filter(({ path }) => !path.startsWith("src/sys/linux/"));
    none(
      places(
        elsewhere,
        /const ((AF|SOCK|SOL|SO|MSG|MAP|PROT|MFD|MPOL|BPF|SECCOMP|CAP|CLONE|SIG|SFD|EFD|LOCK|SEEK|VMADDR|O|NE)_[A-Z0-9_]+|POLL[A-Z]+|PIPE_BUF) =/,
      ),
      "put it into sys/linux, in the file of its header",
    );
  });
});

describe("names and leftovers", () => {
  test("file names: are kebab-case nouns, except those of the kernel's headers", () => {
    const odd = ALL.map(({ path }) => path).filter((path) => {
      const name = path.split("/").at(-1) ?? "";
      return path.includes("/linux/")
        ? !/^[a-z0-9_]+\.ts$/.test(name)
        : !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name);
    });
    none(odd, "use lower case, and join the parts with -");
  });

  test("file names: none is utils, helpers or manager", () => {
    const vague = ALL.map(({ path }) => path).filter((path) =>
      /(^|[/.-])(utils?|helpers?|managers?|misc|common|lib)([/.-]|$)/.test(path),
    );
    none(vague, "name the file after its subject");
  });

  test("leftovers: there is no note about unfinished work", () => {
    const notes = new RegExp(["\\b(TO", "DO|FIX", "ME|XX", "X|HA", "CK)\\b"].join(""));
    none(places(ALL, notes, "text"), "finish it, or explain it in the README");
  });

  test("tests: none is marked only or todo", () => {
    none(places(TEST, /\b(test|describe|it)\.(only|todo)\(/), "run all tests");
  });

  test("tests: every title begins with its subject", () => {
    const titles = TEST.filter(({ path }) => path.endsWith(".test.ts")).flatMap(({ path, text }) =>
      [...text.matchAll(/^[ \t]*(?:test\b[^\n"`]*|[\])}][^\n"`]*\))\(\s*(["`])(.+?)\1,/gm)].map(
        ([, , title = ""]) => ({ path, title }),
      ),
    );
    none(
      titles.filter(({ title }) => NO_SUBJECT.test(title)).map(({ path, title }) => `${path}: ${title}`),
      "begin the title with what it is about: pid file: refuses a file of another user",
    );
    expect(titles.length).toBeGreaterThan(1000);
  });

  test("src/README.md: has every directory of src", () => {
    const map = readFileSync(join(ROOT, "src/README.md"), "utf8");
    const missing = [...new Set(SRC.map(({ path }) => directoryOf(path)))].filter(
      (name) => !map.includes(name),
    );
    none(missing, "add it to src/README.md");
  });
});

/** A title that begins with one of these continues the title of its group, and cannot be searched for. */
const NO_SUBJECT =
  /^(is|are|was|has|have|does|do|may|can|must|of|that|which|with|without|in|on|by|when|where|while|if|but|and|or|to|for|from|at|as|not|its|it|gets|gives|takes|tells|makes)\b/;

/** Words of an earlier style, and what to write instead (the list of CONTRIBUTING.md). */
const RETIRED: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\bmend(s|ed|ing)?\b/i, "fix"],
  [/\bstrangers?\b/i, "another CID, another process"],
  [/\bfolders?\b/i, "directory"],
  [/\bknock(s|ed|ing)?\b/i, "connect"],
  // nobody is also a user.
  [/\b(whoever|somebody)\b|(?<!^|=)\bnobody\b/i, "the process, the client, the caller"],
  [/\b(is|are|was|were|be) told\b/i, "printed, reported, logged"],
  [/\bwords\b/i, "arguments, options, text, message"],
];

const MARKDOWN = [
  "README.md",
  "src/README.md",
  "test/README.md",
  "test/emulated-parent/README.md",
  ...readdirSync(join(ROOT, "src/manual")).map((name) => `src/manual/${name}`),
  ...readdirSync(join(ROOT, ".github"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `.github/${name}`),
].map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));

describe("language", () => {
  test("language: no retired word in comments, strings and documents", () => {
    // A shell's words are the field's term.
    const exempt = ["test/tidy.test.ts", "src/cli/completion/"];
    const code = ALL.filter(({ path }) => !exempt.some((each) => path.startsWith(each))).flatMap(
      ({ path, text }) => proseOf(text).map((prose) => ({ path, ...prose })),
    );
    const documents = MARKDOWN.flatMap(({ path, text }) =>
      text.split("\n").map((line, i) => ({ path, line: i + 1, text: line })),
    );
    const found = [...code, ...documents].flatMap(({ path, line, text }) =>
      RETIRED.flatMap(([pattern, instead]) => {
        const word = pattern.exec(text)?.[0];
        return word === undefined ? [] : [`${path}:${line}: "${word}": write ${instead}`];
      }),
    );
    none(found, "write plain engineering English");
  });
});

describe("documents", () => {
  test("documents: every file or directory that they name exists", () => {
    const missing = MARKDOWN.flatMap(({ path, text }) =>
      [...text.matchAll(/(?<![\w/.-])(?:src|test|\.github|\.ci)\/[\w./-]*[\w/]/g)]
        .filter(([name]) => !existsSync(join(ROOT, name)))
        .map(([name]) => `${path} names ${name}`),
    );
    none([...new Set(missing)], "name a file that exists");
  });

  test("documents and help list CPUs by number only for an instance type that they name", () => {
    // Siblings have consecutive numbers on some types and not on others: a list is right for one type only.
    const list = /(ne_cpus|cpu-ids=|cpu-list |cpu_pool: ?)\d|(?<![\w-])\d+(-\d+)?,{1,2}\d.*ne_cpus/;
    const type = /\b[a-z]\d[a-z]*\.\d*[a-z]*large\b/;
    const documents = MARKDOWN.flatMap(({ path, text }) =>
      text.split(/\n\n|\n(?=- )/).map((paragraph) => ({ path, text: paragraph })),
    );
    const help = SRC.flatMap(({ path, text }) => proseOf(text).map((prose) => ({ path, text: prose.text })));
    const found = [...documents, ...help].filter(
      ({ text }) => !/^\/[/*]/.test(text) && list.test(text) && !type.test(text),
    );
    none(
      found.map(({ path, text }) => `${path}: ${text}`),
      "use nitro pool --cpus N, or name the instance type in the paragraph",
    );
  });

  test("documents: every symbol that they name is declared in the file named with it", () => {
    const named = MARKDOWN.flatMap(({ path, text }) =>
      [...text.matchAll(/`((?:src|test)\/[\w./-]+\.ts)`: `([\w.#]+)`/g)].map(
        ([, file = "", symbol = ""]) => ({
          path,
          file,
          symbol,
        }),
      ),
    );
    const missing = named.filter(({ file, symbol }) => {
      const source = ALL.find((each) => each.path === file)?.text ?? "";
      return !symbol.split(".").every((part) => new RegExp(`(^|[^\\w])${part}\\b`).test(source));
    });
    none(
      missing.map(({ path, file, symbol }) => `${path} names ${symbol} in ${file}`),
      "name a symbol that exists",
    );
    expect(named.length).toBeGreaterThan(10);
  });
});

describe("exports", () => {
  const exported = SRC.flatMap(({ path, text }) =>
    [...text.matchAll(/^export (?:async )?(function\*?|class|const|interface|type) (\w+)/gm)].map(
      ([, kind = "", name = ""]) => ({ path, kind, name }),
    ),
  );

  test("exports: every name is used, a value in another file, a type at least in a signature", () => {
    const builder = { path: "build.ts", text: readFileSync(join(ROOT, "build.ts"), "utf8") };
    const dead = exported.filter(({ path, kind, name }) => {
      const use = new RegExp(`\\b${name}\\b`, "g");
      if ([...ALL, builder].some((file) => file.path !== path && use.test(file.text))) return false;
      const own = SRC.find((file) => file.path === path)?.text ?? "";
      return !(kind === "interface" || kind === "type") || [...own.matchAll(use)].length < 2;
    });
    none(
      dead.map(({ path, name }) => `${path}: ${name}`),
      "remove the export, or the code",
    );
  });

  test("exports: no name has two meanings", () => {
    const files = Map.groupBy(exported, ({ name }) => name);
    const twice = [...files].filter(([, places]) => places.length > 1);
    none(
      twice.map(([name, places]) => `${name}: ${places.map(({ path }) => path).join(", ")}`),
      "give each its own name",
    );
  });
});

describe("dependencies", () => {
  test("dependencies: the executable contains zod, citty, cborg and the texts of licences, no more", () => {
    expect(Object.keys(dependencies).sort()).toEqual(["cborg", "citty", "spdx-license-list", "zod"]);
    const packages =
      /from "(?!\.|bun:ffi"|node:|zod\/mini"|zod\/v4\/core"|citty"|cborg"|spdx-license-list\/licenses\/)[^"]*"/;
    none(
      places(SRC, packages),
      "src imports zod/mini and its core, citty, cborg, licence texts and its own files",
    );
  });

  test("dependencies: every version is exact, and the lock has the same", () => {
    const packages: Readonly<Record<string, { version?: string }>> = lock.packages;
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expect([name, version]).toEqual([name, expect.stringMatching(/^\d+\.\d+\.\d+$/)]);
      expect([name, packages[`node_modules/${name}`]?.version]).toEqual([name, version]);
    }
  });

  test("dependencies: the lock holds the integrity of both runtimes, of the pinned version", () => {
    for (const name of ["@oven/bun-linux-x64", "@oven/bun-linux-aarch64"] as const) {
      const { version, integrity } = lock.packages[`node_modules/${name}`];
      expect([name, version]).toEqual([name, devDependencies.bun]);
      expect(integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
    }
  });

  test("dependencies: every package of the lock has an integrity", () => {
    const bare = Object.entries(lock.packages).filter(
      ([name, about]) => name !== "" && !("integrity" in about),
    );
    none(
      bare.map(([name]) => name),
      "run npm install again",
    );
  });
});
