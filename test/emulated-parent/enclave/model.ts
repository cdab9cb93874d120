/** An enclave that boots nothing: it prints, sends its heartbeat and exits as the scenario says. */
import type { Enclave } from "./enclave.ts";

/** Starts the model. */
export function startModel(enclave: Enclave): void {
  const { behaviour, console: output } = enclave;
  const lines = behaviour.console.map((line) => new TextEncoder().encode(`${line}\n`));
  const printFrom = (index: number): void => {
    const line = lines[index];
    if (line === undefined) output.flood(behaviour.consoleFloodBytes);
    else {
      output.print(line);
      enclave.later(behaviour.consoleEveryMs, () => printFrom(index + 1));
    }
  };
  printFrom(0);
  const { heartbeatMs } = behaviour;
  // Even the fastest init needs a moment: the launcher must have the answer of NE_START_ENCLAVE first.
  if (heartbeatMs !== null) enclave.later(Math.max(0.01, heartbeatMs), () => enclave.beat());
}
