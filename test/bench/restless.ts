/** What a process does that should do nothing. */
import { readdirSync, readFileSync } from "node:fs";

/** Context switches, voluntary or not, of each thread of a process, and the CPU ticks of all. */
function activity(pid: number): { switches: Map<string, number>; ticks: number } {
  const switches = new Map<string, number>();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, "utf8");
    const counts = [...status.matchAll(/ctxt_switches:\s+(\d+)/g)].map(([, count]) => Number(count));
    switches.set(
      task,
      counts.reduce((sum, count) => sum + count, 0),
    );
  }
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /, "").split(" ");
  return { switches, ticks: Number(fields[11]) + Number(fields[12]) };
}

/** Tells what a process did in the next 10 s: its own thread, and those of the runtime. */
export async function restless(pid: number, when: string): Promise<void> {
  const first = activity(pid);
  await Bun.sleep(10_000);
  const last = activity(pid);
  let [own, others] = [0, 0];
  for (const [task, before] of first.switches) {
    const after = last.switches.get(task) ?? before + 1; // a thread that ended woke up to do so
    if (task === String(pid)) own += after - before;
    else others += after - before;
  }
  const cpu = `${last.ticks - first.ticks} ticks of 10 ms`;
  console.log(`  ${when}: wake-ups of the loop ${own}, of the runtime's own threads ${others}; CPU ${cpu}`);
}
