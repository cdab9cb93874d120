/**
 * The memory of this launch's enclave. The kernel zeroes huge pages when it allocates them, which takes longer than any
 * other step, so threads allocate them while the launch creates the enclave.
 */
import { rangesBytes } from "../host/memory/huge-pages.ts";
import { PageMap } from "../sys/page-map.ts";
import { sizeWithUnit } from "../sys/units.ts";
import type { LaunchContext } from "./context.ts";
import { type PendingAllocation, startAllocation } from "./memory/allocate-memory.ts";
import { mappingsCheck, planPrealloc } from "./memory/prealloc.ts";
import type { MemoryPlan } from "./plan/memory.ts";
import { diagnosed } from "./undiagnosed.ts";

/**
 * Reserves the memory and starts the threads that allocate it. Throws Undiagnosed; `finish` also throws UserError and
 * Cancelled.
 */
export function allocateMemory(context: LaunchContext, plan: MemoryPlan): PendingAllocation {
  const { system, options, progress } = context;
  using stack = new DisposableStack();
  const opened = stack.use(PageMap.open(system));
  const pageMap = opened?.showsFrames() ? opened : undefined;
  const conditions = {
    plan,
    requestedThreads: options.memoryBackend?.threads,
    framesVisible: pageMap !== undefined,
    mappingsAllowed: mappingsCheck(system),
  };
  const prealloc = planPrealloc(system, conditions);
  const callbacks = { wait: progress.waitReadable, step: progress.advance };
  const diagnosing = <T>(attempt: () => T) =>
    diagnosed(attempt, (diagnose, error) =>
      diagnose.diagnoseMemory(system, error, plan, options.memoryBackend),
    );
  const { mappingsAllowed } = conditions;
  const allocation = diagnosing(() =>
    stack.use(startAllocation(system, { plan, prealloc, pageMap, mappingsAllowed, callbacks })),
  );
  const owner = stack.move();
  return {
    finish() {
      using _owner = owner;
      using _bar = progress.start(`memory ${sizeWithUnit(plan.bytes)}`, rangesBytes(plan.ranges));
      return diagnosing(() => allocation.finish());
    },
    [Symbol.dispose]: () => owner.dispose(),
  };
}
