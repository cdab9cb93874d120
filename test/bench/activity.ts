/** Context switches and processor time of a process that should be idle. */
import { readdirSync, readFileSync } from "node:fs";

/** Counts the context switches of each thread of a process, and the CPU ticks of all of them (proc_pid_stat(5)). */
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

/** Prints what a process does in the next 10 s: its main thread, and the threads of the runtime. */
export async function printActivity(pid: number, when: string): Promise<void> {
  const first = activity(pid);
  await Bun.sleep(10_000);
  const last = activity(pid);
  let [own, others] = [0, 0];
  for (const [task, before] of first.switches) {
    const after = last.switches.get(task) ?? before + 1; // a thread that exited woke up once
    if (task === String(pid)) own += after - before;
    else others += after - before;
  }
  const cpu = `${last.ticks - first.ticks} ticks of 10 ms`;
  console.log(
    `  ${when}: wake-ups of the main thread ${own}, of the runtime's threads ${others}; CPU ${cpu}`,
  );
}
