/** Selects the huge pages of an enclave before it is created. */
import { availablePages } from "../../host/memory/huge-pages.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { type MemoryPlan, type PageSupply, planPages } from "./memory.ts";
import { type MemoryDemand, type MemorySource, memorySource } from "./memory-source.ts";

/**
 * Selects the pages. Throws UserError if the free ones do not suffice. @param report called with a warning if they have
 * more memory than the demand.
 */
export async function planMemoryPages(
  system: System,
  demand: MemoryDemand,
  report: (line: string) => void,
): Promise<MemoryPlan> {
  const source = memorySource(system, demand.backend);
  const usual = planUsualPages(system, demand, source);
  if (usual !== undefined) return usual;
  const { excessWarning, planPagesOfAnySize } = await import("./page-supply.ts");
  const plan = planPagesOfAnySize(system, demand, source);
  const warning = excessWarning(plan);
  if (warning !== undefined) report(warning);
  return plan;
}

/**
 * Selects pages of the sizes that almost every parent has: 2 MiB and, for a memory in which they fit, 1 GiB. Most
 * launches need no other, and counting each size takes two reads. Returns undefined if these do not suffice.
 */
export function planUsualPages(
  system: System,
  { size, backend }: MemoryDemand,
  { node }: MemorySource,
): MemoryPlan | undefined {
  if (backend?.pageBytes !== undefined) return undefined;
  const small = availablePages(system, HUGE_PAGE_BYTES, node);
  if (small === undefined) return undefined;
  const supply: PageSupply[] = [{ pageBytes: HUGE_PAGE_BYTES, pages: small }];
  if (size.bytes >= GIGANTIC_PAGE_BYTES) {
    const large = availablePages(system, GIGANTIC_PAGE_BYTES, node) ?? 0;
    supply.unshift({ pageBytes: GIGANTIC_PAGE_BYTES, pages: large });
  }
  const ranges = planPages(size.bytes, supply);
  return ranges === undefined ? undefined : { ...size, ranges, node };
}
