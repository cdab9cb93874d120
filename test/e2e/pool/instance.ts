/** `nitro pool` on described instances: shell scripts that run the built program, and what is there before and after. */
import { expect } from "bun:test";
import type { ParentResult, ParentRun } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { launchAs, lines, NITRO, shellWords } from "../launch/nitro.ts";

export { notHere } from "../launch/nitro.ts";

/** The driver's parameter. */
export const POOL = "/sys/module/nitro_enclaves/parameters/ne_cpus";
/** A node's huge pages of 2 MiB and of 1 GiB. */
export const HUGE = "hugepages/hugepages-2048kB";
export const GIANT = "hugepages/hugepages-1048576kB";
/** The directory of a node. */
export const NODE = "/sys/devices/system/node";

/** What a script can call: the program by its name (or, where it has to be the shell's own child, by $program), its status as a line, and the state of the instance as a line. */
const WORDS = [
  `program=${shellWords([NITRO])}`,
  'nitro() { "$program" "$@"; }',
  'told() { "$@"; echo "status $?"; }',
  `counts() { cat $1/${GIANT}/nr_hugepages $1/${HUGE}/nr_hugepages $1/${HUGE}/free_hugepages | paste -s -d ' '; }`,
  `state() { echo "pool $(cat ${POOL}) online $(cat /sys/devices/system/cpu/online)" | paste -s -d ' ';`,
  `  for node in ${NODE}/node[0-9]*; do echo "\${node##*/} $(counts $node)"; done; }`,
].join("\n");

/** Runs a script in a parent instance. */
export function shell(
  script: string,
  scenario: ScenarioInput,
  more: Partial<ParentRun> = {},
): Promise<ParentResult> {
  return launchAs({ command: ["sh", "-c", `${WORDS}\n${script}`], scenario, ...more });
}

/** The same with a /run of its own, so that no lock of the machine's is waited for; the script begins in it. */
export function shellAlone(script: string, scenario: ScenarioInput): Promise<ParentResult> {
  const text = `mount -t tmpfs none /run && cd /run\n${WORDS}\n${script}`;
  return launchAs({ command: ["unshare", "-m", "sh", "-c", text], scenario });
}

/** The lines that a script prints; whatever it says on standard error fails the test. */
export async function printed(script: string, scenario: ScenarioInput): Promise<string[]> {
  const { stdout, stderr } = await shell(script, scenario);
  expect(stderr).toBe("");
  return lines(stdout);
}

/** What a command that has to fail says; the instance must be the same before and after. */
export async function refused(
  command: string,
  scenario: ScenarioInput,
  more: Partial<ParentRun> & { before?: string } = {},
): Promise<string[]> {
  const { before = ":", ...run } = more;
  const script = `${before}\nstate; told ${command}; state`;
  const { stdout, stderr } = await shell(script, scenario, run);
  const told = lines(stdout);
  const at = told.indexOf("status 1");
  expect(at).toBeGreaterThan(0);
  expect(told.slice(at + 1)).toEqual(told.slice(0, at));
  return lines(stderr);
}
