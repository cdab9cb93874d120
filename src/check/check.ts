/**
 * `nitro check`: everything that a launch with these options would meet on this parent, all at once. Nothing is
 * created, allocated or kept: files are read, the device's node is opened and let go of, a vsock port is bound for an
 * instant.
 */
import { readTopology } from "../host/cpu/topology.ts";
import type { LaunchOptions } from "../launch/options.ts";
import type { System } from "../sys/system.ts";
import { checkCores } from "./cores.ts";
import { checkDriver } from "./driver.ts";
import { checkFiles } from "./files.ts";
import { type Finding, SUBJECTS } from "./finding.ts";
import { checkImage } from "./image.ts";
import { checkPages } from "./pages.ts";
import { checkVsock } from "./vsock.ts";

/** What was found, in the order in which it is to be mended. */
export interface CheckReport {
  /** Whether a launch would pass, as far as can be told. */
  readonly ready: boolean;
  readonly findings: readonly Finding[];
  /** What no look from outside tells. */
  readonly notCheckable: readonly string[];
}

/** Looks at everything. */
export async function checkLaunch(system: System, options: LaunchOptions): Promise<CheckReport> {
  const topology = readTopology(system);
  const image = await checkImage(system, options);
  const cores = checkCores(system, options, topology, image.memory.bytes);
  const wanted = { memory: image.memory, imageBytes: image.imageBytes, poolCommand: cores.poolCommand };
  const findings = [
    ...checkDriver(system),
    ...cores.findings,
    ...image.findings,
    ...checkPages(system, options, topology, wanted),
    ...checkVsock(system, options),
    ...(await checkFiles(system, options)),
  ];
  const order = Object.keys(SUBJECTS);
  findings.sort((a, b) => order.indexOf(a.subject) - order.indexOf(b.subject));
  return {
    ready: findings.every(({ status }) => status !== "failure"),
    findings,
    notCheckable: notCheckable(options),
  };
}

function notCheckable({ enclaveCid }: LaunchOptions): string[] {
  const cid = enclaveCid === 0n ? [] : [`whether another enclave has CID ${enclaveCid}`];
  return [
    ...cid,
    "in how many pieces the free huge pages lie in physical memory, which the driver limits",
    "whether the hypervisor accepts the image",
  ];
}
