/**
 * The memory of this launch's enclave. Allocating huge pages is zeroing them, which takes longest of all steps, so
 * threads do it while the launch goes on and creates the enclave.
 */
import { PageMap } from "../sys/page-map.ts";
import type { LaunchContext } from "./context.ts";
import { beginMemory, type MemoryBegun } from "./memory/allocate-memory.ts";
import { mappingLimit, planFilling } from "./memory/prealloc.ts";
import { type MemoryPlan, sizeText } from "./plan/memory.ts";
import { diagnosed } from "./undiagnosed.ts";

/** Reserves the memory and starts the threads that fill it. Throws Undiagnosed; `finish` also UserError, Cancelled. */
export function allocateMemory({ system, options, progress }: LaunchContext, plan: MemoryPlan): MemoryBegun {
  using stack = new DisposableStack();
  const opened = stack.use(PageMap.open(system));
  const pageMap = opened?.showsFrames() ? opened : undefined;
  const facts = {
    plan,
    asked: options.memoryBackend?.threads,
    pagesTold: pageMap !== undefined,
    mayMap: mappingLimit(system),
  };
  const together = planFilling(system, facts);
  const watch = { wait: progress.waitReadable, step: progress.advance };
  const diagnosing = <T>(attempt: () => T) =>
    diagnosed(attempt, (diagnose, error) =>
      diagnose.diagnoseMemory(system, error, plan, options.memoryBackend),
    );
  const allocation = diagnosing(() => stack.use(beginMemory(system, { ...facts, pageMap, together, watch })));
  const owner = stack.move();
  return {
    finish() {
      using _owner = owner;
      using _bar = progress.start(`memory ${sizeText(plan.bytes)}`, plan.bytes);
      return diagnosing(() => allocation.finish());
    },
    [Symbol.dispose]: () => owner.dispose(),
  };
}
