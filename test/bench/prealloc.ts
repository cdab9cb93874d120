/**
 * The time that preallocation of a large memory takes (allocation, zeroing, mapping in physical order), by one thread, by
 * two, and by nitro's default. To run it alone, with dist/nitro built: `bun test/bench/prealloc.ts [MIB...]`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { runInParent, whyNotHere } from "../emulated-parent/run.ts";
import { ROOT } from "../support/packages.ts";
import { median, medianRatio, rounds, summary } from "./statistics.ts";

const NITRO = join(ROOT, "dist/nitro");
const HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB";
const PAGE_MIB = 2;
/** Pages that the previous round has not returned yet. */
const SPARE_PAGES = 64;
const ROUNDS = 5;

const counter = (name: string) => Number(readFileSync(`${HUGE}/${name}`, "utf8"));

function availableMib(): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
  return Number(kib ?? 0) / 1024;
}

/** Reserves huge pages in addition to the existing ones; returns why that is impossible, or undefined on success. */
function reserve(mib: number): string | undefined {
  const pages = mib / PAGE_MIB + SPARE_PAGES;
  const missing = pages - counter("free_hugepages");
  // A tenth of the memory stays free: a machine that swaps gives no useful figures.
  if (missing * PAGE_MIB > 0.9 * availableMib()) {
    return `${missing * PAGE_MIB} MiB of huge pages needed, ${availableMib().toFixed(0)} MiB of memory available`;
  }
  if (missing > 0) writeFileSync(`${HUGE}/nr_hugepages`, String(counter("nr_hugepages") + missing));
  const free = counter("free_hugepages");
  return free >= pages ? undefined : `${pages} huge pages needed, ${free} free`;
}

/** Writes a file with the header of a bzImage. */
function kernelFile(directory: string): string {
  const kernel = new Uint8Array(1_000_000).map((_, i) => i * 7);
  kernel.set([0x55, 0xaa], 0x1fe);
  kernel.set(new TextEncoder().encode("HdrS"), 0x202);
  kernel.set([0x0f, 0x02], 0x206);
  const path = join(directory, "kernel");
  writeFileSync(path, kernel);
  return path;
}

/** Returns the milliseconds from NE_GET_IMAGE_LOAD_INFO to the donation, and the number of regions. */
async function preallocate(
  kernel: string,
  mib: number,
  threads: number | undefined,
): Promise<[number, string]> {
  const backend = `memory-backend-memfd,id=m,size=${mib}M,hugetlbsize=2M`;
  const object = threads === undefined ? backend : `${backend},prealloc-threads=${threads}`;
  const machine = ["-M", "nitro,memory-backend=m", "-accel", "nitro,heartbeat=none"];
  const { trace, stderr } = await runInParent({
    command: [NITRO, "-kernel", kernel, "-object", object, "-smp", "2", ...machine],
    scenario: {
      memory: "real",
      opens: "writable",
      checkWrites: false,
      maxRegions: 1e6,
      enclave: { liveMs: 1 },
    },
  });
  const at = (what: string) => trace.find((entry) => entry.what === what)?.t;
  const [from, to] = [at("NE_GET_IMAGE_LOAD_INFO"), at("NE_SET_USER_MEMORY_REGION")];
  const regions = / in (\d+ regions?)[, ]/.exec(stderr)?.[1];
  if (from === undefined || to === undefined || regions === undefined) throw new Error(stderr);
  return [to - from, regions];
}

/** Measures memories of these sizes (MiB) and prints the figures, or why a size cannot be measured. */
export async function preallocations(sizesMib: readonly number[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "nitro-prealloc-"));
  const before = counter("nr_hugepages");
  try {
    const kernel = kernelFile(directory);
    for (const mib of sizesMib) {
      const cpus = availableParallelism();
      console.log(
        `\nPreallocation of ${mib / 1024} GiB in pages of 2 MiB, ${ROUNDS} rounds after a warm-up, ${cpus} CPUs`,
      );
      const obstacle = reserve(mib);
      if (obstacle !== undefined) console.log(`  not measured: ${obstacle}`);
      else await compareThreads(kernel, mib);
    }
  } finally {
    writeFileSync(`${HUGE}/nr_hugepages`, String(before));
    rmSync(directory, { recursive: true, force: true });
  }
}

async function compareThreads(kernel: string, mib: number): Promise<void> {
  const regions = new Map<string, string>();
  const by = (name: string, threads?: number) => async () => {
    const [ms, count] = await preallocate(kernel, mib, threads);
    regions.set(name, count);
    return ms;
  };
  const names = { one: "1 thread", two: "2 threads", own: "nitro's default" };
  const results = await rounds(ROUNDS, {
    [names.one]: by(names.one, 1),
    [names.two]: by(names.two, 2),
    [names.own]: by(names.own),
  });
  for (const [name, values] of Object.entries(results)) {
    console.log(`  ms, ${name}: ${summary(values, 0)}; ${regions.get(name)}`);
  }
  const of = (name: string) => results[name] ?? [];
  const better = median(of(names.one)) <= median(of(names.two)) ? names.one : names.two;
  console.log(
    `  ${names.own} to the better (${better}): ratio ${medianRatio(of(names.own), of(better)).toFixed(2)}`,
  );
}

if (import.meta.main) {
  const reason = whyNotHere();
  if (reason !== undefined) throw new Error(reason);
  const sizes = process.argv.slice(2).map(Number);
  await preallocations(sizes.length > 0 ? sizes : [4096, 8192]);
}
