/**
 * How long a large memory takes to be ready: allocated, zeroed, put in order. By one thread, by two, and by as many as
 * nitro takes when nobody says. By itself: `bun test/bench/preparation.ts [MIB…]`, with dist/nitro built.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { runInParent, whyNotHere } from "../emulated-parent/run.ts";
import { ROOT } from "../support/packages.ts";
import { median, ratio, rounds, spread } from "./figures.ts";

const NITRO = join(ROOT, "dist/nitro");
const HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB";
const PAGE_MIB = 2;
/** Pages that are on their way back from the round before, and others' launches meanwhile. */
const SPARE_PAGES = 64;
const ROUNDS = 5;

const counter = (name: string) => Number(readFileSync(`${HUGE}/${name}`, "utf8"));

function availableMib(): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
  return Number(kib ?? 0) / 1024;
}

/** Reserves huge pages beside those that there are; gives why they cannot be had, or undefined where they are. */
function reserve(mib: number): string | undefined {
  const pages = mib / PAGE_MIB + SPARE_PAGES;
  const missing = pages - counter("free_hugepages");
  // A tenth is left to everything else; a machine that swaps measures nothing.
  if (missing * PAGE_MIB > 0.9 * availableMib()) {
    return `${missing * PAGE_MIB} MiB more of huge pages are needed, and ${availableMib().toFixed(0)} MiB are available`;
  }
  if (missing > 0) writeFileSync(`${HUGE}/nr_hugepages`, String(counter("nr_hugepages") + missing));
  const free = counter("free_hugepages");
  return free >= pages ? undefined : `${pages} huge pages are needed, and ${free} are to be had`;
}

/** A kernel by its looks. */
function kernelFile(directory: string): string {
  const kernel = new Uint8Array(1_000_000).map((_, i) => i * 7);
  kernel.set([0x55, 0xaa], 0x1fe);
  kernel.set(new TextEncoder().encode("HdrS"), 0x202);
  kernel.set([0x0f, 0x02], 0x206);
  const path = join(directory, "kernel");
  writeFileSync(path, kernel);
  return path;
}

/** A launch's time from the driver's answer where the image goes to the donation, in ms, and the regions it had. */
async function prepared(kernel: string, mib: number, threads: number | undefined): Promise<[number, string]> {
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

/** Tells the preparation of memories of these sizes, or why it cannot. */
export async function preparations(sizesMib: readonly number[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "nitro-preparation-"));
  const before = counter("nr_hugepages");
  try {
    const kernel = kernelFile(directory);
    for (const mib of sizesMib) {
      const cpus = availableParallelism();
      console.log(
        `\nPreparation of ${mib / 1024} GiB in pages of 2 MiB, ${ROUNDS} rounds after a warm-up, ${cpus} CPUs`,
      );
      const lacking = reserve(mib);
      if (lacking !== undefined) console.log(`  not measured: ${lacking}`);
      else await preparation(kernel, mib);
    }
  } finally {
    writeFileSync(`${HUGE}/nr_hugepages`, String(before));
    rmSync(directory, { recursive: true, force: true });
  }
}

async function preparation(kernel: string, mib: number): Promise<void> {
  const regions = new Map<string, string>();
  const by = (name: string, threads?: number) => async () => {
    const [ms, told] = await prepared(kernel, mib, threads);
    regions.set(name, told);
    return ms;
  };
  const names = { one: "1 thread", two: "2 threads", own: "nitro's own choice" };
  const results = await rounds(ROUNDS, {
    [names.one]: by(names.one, 1),
    [names.two]: by(names.two, 2),
    [names.own]: by(names.own),
  });
  for (const [name, values] of Object.entries(results)) {
    console.log(`  ms, ${name}: ${spread(values, 0)}; ${regions.get(name)}`);
  }
  const of = (name: string) => results[name] ?? [];
  const better = median(of(names.one)) <= median(of(names.two)) ? names.one : names.two;
  console.log(
    `  ${names.own} to the better (${better}): ratio ${ratio(of(names.own), of(better)).toFixed(2)}`,
  );
}

if (import.meta.main) {
  const reason = whyNotHere();
  if (reason !== undefined) throw new Error(reason);
  const sizes = process.argv.slice(2).map(Number);
  await preparations(sizes.length > 0 ? sizes : [4096, 8192]);
}
