/** What the parts of the emulated parent instance share. */
import type { HugePages } from "./huge-pages.ts";
import type { Loop } from "./loop.ts";
import type { Ledger } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import type { Instance } from "./topology/instance.ts";
import type { Trace } from "./trace.ts";
import type { Vsock } from "./vsock.ts";

/** One parent instance. */
export interface World {
  scenario: Scenario;
  instance: Instance;
  trace: Trace;
  loop: Loop;
  ledger: Ledger;
  hugePages: HugePages;
  vsock: Vsock;
}
