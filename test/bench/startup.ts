/** The bare start of the program: `-version`, with the file in the page cache and out of it. */
import { statSync } from "node:fs";
import { mustRun, NITRO, type Setup } from "./setup.ts";
import { printFigures, rounds } from "./statistics.ts";

function timed(command: readonly string[], cold: boolean): () => number {
  return () => {
    // dd's "nocache" with nothing to copy drops the file from the page cache.
    if (cold) mustRun(["dd", `if=${command[0]}`, "iflag=nocache", "count=0", "status=none"]);
    const begin = Bun.nanoseconds();
    mustRun(command);
    return (Bun.nanoseconds() - begin) / 1e6;
  };
}

/** Measures nitro, /bin/true and QEMU, and prints the figures. */
export async function startup({ qemu }: Setup): Promise<void> {
  const contestants: Record<string, () => number> = {
    nitro: timed([NITRO, "-version"], false),
    "/bin/true": timed(["/bin/true"], false),
  };
  if (qemu !== undefined) contestants["QEMU"] = timed([...qemu, "-version"], false);
  console.log(`\nStart, -version; the executable has ${(statSync(NITRO).size / 1e6).toFixed(1)} MB`);
  printFigures("ms, warm, 20 rounds", await rounds(20, contestants));
  const cold = { nitro: timed([NITRO, "-version"], true) };
  printFigures("ms, out of the page cache, 5 rounds", await rounds(5, cold));
}
