/** Assembles sources with binutils. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./packages.ts";

const PREFIX = { x86_64: "", aarch64: "aarch64-linux-gnu-" } as const;

/** The code of an assembler source and the offsets of its labels, in bytes. */
export interface Assembled {
  readonly code: Uint8Array;
  readonly labels: ReadonlyMap<string, number>;
}

function must(command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** Assembles ARCHITECTURE.S of a directory. */
export function assemble(sources: string, architecture: keyof typeof PREFIX): Assembled {
  const directory = mkdtempSync(join(tmpdir(), "nitro-as-"));
  const [object, binary] = [join(directory, "code.o"), join(directory, "code.bin")];
  // cpp removes the comments, whose form differs between the assemblers.
  const source = must(["cpp", "-P", "-undef", join(ROOT, sources, `${architecture}.S`)]);
  try {
    const prefix = PREFIX[architecture];
    const options = architecture === "aarch64" ? ["-march=armv8.5-a"] : [];
    const as = Bun.spawnSync([`${prefix}as`, ...options, "-o", object, "-"], { stdin: Buffer.from(source) });
    if (as.exitCode !== 0) throw new Error(as.stderr.toString());
    must([`${prefix}objcopy`, "-O", "binary", "-j", ".text", object, binary]);
    const symbols = must([`${prefix}nm`, object]).matchAll(/^([0-9a-f]+) t (\w+)$/gm);
    const labels = new Map([...symbols].map(([, at = "", name = ""]) => [name, Number.parseInt(at, 16)]));
    return { code: new Uint8Array(readFileSync(binary)), labels };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
