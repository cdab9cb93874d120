/**
 * The time of `nitro eif build`, compared with cat(1) of the same files and a SHA-384 of the result by coreutils or by
 * OpenSSL (on many machines the faster one), and its peak memory.
 */
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageFiles } from "./image-files.ts";
import { medianRatio, rounds, summary } from "./statistics.ts";

const GIB = 1024 ** 3;

/** Prints the figures. @param directory needs space for two images of 4 GiB. */
export async function eifBuilds(nitro: string, directory: string): Promise<void> {
  await times(nitro, directory, 900_000_000, 7);
  await memory(nitro, directory, 4 * GIB);
}

function run(directory: string, command: readonly string[]): number {
  const begin = Bun.nanoseconds();
  const { exitCode, stderr } = Bun.spawnSync([...command], { cwd: directory });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return (Bun.nanoseconds() - begin) / 1e6;
}

async function times(nitro: string, directory: string, bytes: number, count: number): Promise<void> {
  const { kernel, initrd } = imageFiles(directory, bytes);
  const [image, joined] = [join(directory, "built.eif"), join(directory, "joined")];
  const arch = ["-arch", "x86_64", "-append", "console=ttyS0"];
  // Each round starts without the file of the previous one and removes its own.
  const one = (output: string, command: readonly string[]) => () => {
    const ms = run(directory, command);
    rmSync(output);
    return ms;
  };
  const byHand = (hash: string) =>
    one(joined, ["sh", "-c", 'cat "$1" "$2" >joined && $0 joined', hash, kernel, initrd]);
  const results = await rounds(count, {
    nitro: one(image, [nitro, "eif", "build", "-o", image, "-kernel", kernel, "-initrd", initrd, ...arch]),
    sha384sum: byHand("sha384sum"),
    openssl: byHand("openssl dgst -sha384"),
  });
  console.log(`\neif build, image of ${bytes / 1e6} MB with one ramdisk, ${count} rounds`);
  const { nitro: own = [], sha384sum = [], openssl = [] } = results;
  console.log(`  ms: nitro ${summary(own)}`);
  console.log(
    `  ms: cat and sha384sum ${summary(sha384sum)}, ratio ${medianRatio(own, sha384sum).toFixed(2)}`,
  );
  console.log(
    `  ms: cat and openssl dgst ${summary(openssl)}, ratio ${medianRatio(own, openssl).toFixed(2)}`,
  );
  rmSync(kernel);
  rmSync(initrd);
}

/** Reads VmHWM while the command runs. It only rises, so the last value read is the peak. */
async function memory(nitro: string, directory: string, bytes: number): Promise<void> {
  const { kernel } = imageFiles(directory, 8_000_000);
  const ramdisk = join(directory, "sparse");
  writeFileSync(ramdisk, "");
  truncateSync(ramdisk, bytes);
  const output = join(directory, "large.eif");
  const args = ["eif", "build", "-o", output, "-arch", "x86_64", "-kernel", kernel, "-initrd", ramdisk];
  const build = Bun.spawn([nitro, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  let peakKib = 0;
  while (build.exitCode === null) {
    const status = await Bun.file(`/proc/${build.pid}/status`)
      .text()
      .catch(() => "");
    if (status.includes("Name:\tnitro"))
      peakKib = Math.max(peakKib, Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0));
    await Bun.sleep(20);
  }
  if ((await build.exited) !== 0) throw new Error("eif build of 4 GiB failed");
  console.log(
    `  MB of memory at the peak, image of ${(bytes / GIB).toFixed(0)} GiB: ${((peakKib * 1024) / 1e6).toFixed(1)}`,
  );
  for (const path of [output, ramdisk, kernel]) rmSync(path);
}
