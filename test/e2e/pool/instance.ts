/** Runs `nitro pool` on emulated instances, in shell scripts, and compares the state before and after. */
import { expect } from "bun:test";
import type { ParentResult, ParentRun } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { launchAs, lines, NITRO, shellWords } from "../launch/nitro.ts";

export { notHere } from "../launch/nitro.ts";

/** The driver's parameter with its CPU pool. */
export const POOL = "/sys/module/nitro_enclaves/parameters/ne_cpus";
/** The directories of a node's 2 MiB and 1 GiB pages. */
export const HUGE = "hugepages/hugepages-2048kB";
export const GIANT = "hugepages/hugepages-1048576kB";
/** The directory of all nodes. */
export const NODE = "/sys/devices/system/node";

/**
 * Shell functions: `nitro` runs the program ($program makes it the shell's own child), `with_status` prints a command's
 * exit status, `state` prints the pool, the online CPUs and the huge pages of each node.
 */
const FUNCTIONS = [
  `program=${shellWords([NITRO])}`,
  'nitro() { "$program" "$@"; }',
  'with_status() { "$@"; echo "status $?"; }',
  `counts() { cat $1/${GIANT}/nr_hugepages $1/${HUGE}/nr_hugepages $1/${HUGE}/free_hugepages | paste -s -d ' '; }`,
  `state() { echo "pool $(cat ${POOL}) online $(cat /sys/devices/system/cpu/online)" | paste -s -d ' ';`,
  `  for node in ${NODE}/node[0-9]*; do echo "\${node##*/} $(counts $node)"; done; }`,
].join("\n");

/** Runs a script in an emulated parent instance. */
export function shell(
  script: string,
  scenario: ScenarioInput,
  more: Partial<ParentRun> = {},
): Promise<ParentResult> {
  return launchAs({ command: ["sh", "-c", `${FUNCTIONS}\n${script}`], scenario, ...more });
}

/** The same with a private /run, so that it does not wait for this machine's lock; the script starts in it. */
export function shellAlone(script: string, scenario: ScenarioInput): Promise<ParentResult> {
  const text = `mount -t tmpfs none /run && cd /run\n${FUNCTIONS}\n${script}`;
  return launchAs({ command: ["unshare", "-m", "sh", "-c", text], scenario });
}

/** Returns the lines that a script prints; output on standard error fails the test. */
export async function printed(script: string, scenario: ScenarioInput): Promise<string[]> {
  const { stdout, stderr } = await shell(script, scenario);
  expect(stderr).toBe("");
  return lines(stdout);
}

/** Returns the messages of a command that must fail; the instance must be the same before and after. */
export async function refused(
  command: string,
  scenario: ScenarioInput,
  more: Partial<ParentRun> & { before?: string } = {},
): Promise<string[]> {
  const { before = ":", ...run } = more;
  const script = `${before}\nstate; with_status ${command}; state`;
  const { stdout, stderr } = await shell(script, scenario, run);
  const printedLines = lines(stdout);
  const at = printedLines.indexOf("status 1");
  expect(at).toBeGreaterThan(0);
  expect(printedLines.slice(at + 1)).toEqual(printedLines.slice(0, at));
  return lines(stderr);
}
