/**
 * `nitro check`: reports everything on this parent that would keep a launch with these options from starting. It
 * creates and allocates nothing: it reads files, opens and closes the driver's device, and binds a vsock port briefly.
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

/** The findings of all checks. */
export interface CheckReport {
  /** Whether no check failed. */
  readonly ready: boolean;
  /** In the order of SUBJECTS, which is also the order of the fixes. */
  readonly findings: readonly Finding[];
  /** What cannot be checked before the launch. */
  readonly notCheckable: readonly string[];
}

/** Runs all checks. */
export async function checkLaunch(system: System, options: LaunchOptions): Promise<CheckReport> {
  const topology = readTopology(system);
  const image = await checkImage(system, options);
  const cores = checkCores(system, options, topology, image.memory.bytes);
  const demand = { memory: image.memory, imageBytes: image.imageBytes, poolCommand: cores.poolCommand };
  const findings = [
    ...checkDriver(system),
    ...cores.findings,
    ...image.findings,
    ...checkPages(system, options, topology, demand),
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
  const cid = enclaveCid === 0n ? [] : [`whether another enclave uses CID ${enclaveCid}`];
  return [
    ...cid,
    "huge page fragmentation, which can exceed the driver's limit on memory regions",
    "whether the hypervisor accepts the image",
  ];
}
