/** Checks vsock and the vsock port of the heartbeat. */
import { HEARTBEAT_PORT } from "../devices/heartbeat/protocol.ts";
import { processesWithDescriptor } from "../host/process/processes.ts";
import { vsockProblem } from "../host/vsock.ts";
import type { HeartbeatOptions, LaunchOptions } from "../launch/options.ts";
import {
  type FoundPortUse,
  findPortUse,
  handoffLinks,
  portInUse,
  waitSeconds,
} from "../launch/port-holder.ts";
import { SyscallError } from "../sys/errors.ts";
import { localCid, vsockPortIsFree } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import { type Finding, failure, finding } from "./finding.ts";

/** Runs the checks. */
export function checkVsock(system: System, { heartbeat }: LaunchOptions): Finding[] {
  const problem = vsockProblem(system);
  if (problem !== undefined) {
    return [
      failure("vsock", problem),
      finding("port", "note", `port ${HEARTBEAT_PORT} can be checked once vsock works`),
    ];
  }
  const cid = localCid(system);
  const line =
    cid === undefined
      ? finding("vsock", "note", "cannot tell whether vsock has a transport to enclaves (/dev/vsock)")
      : finding("vsock", "ok", `available; this machine's CID is ${cid}`);
  if (heartbeat.policy === "none") return [line, finding("port", "ok", "not needed with heartbeat=none")];
  return [line, portLine(system, heartbeat)];
}

function portLine(system: System, { waitMs }: HeartbeatOptions): Finding {
  const port = `vsock port ${HEARTBEAT_PORT}`;
  try {
    if (vsockPortIsFree(system, HEARTBEAT_PORT)) return finding("port", "ok", `${port} is free`);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return failure("port", {
      why: `${error.message}`,
      advice: "check the permissions of the vsock device: ls -l /dev/vsock",
    });
  }
  const handoffs = handoffLinks(system);
  const { holders } = processesWithDescriptor(system, (link) => handoffs.includes(link));
  const own = holders.filter(({ uid }) => uid === process.geteuid?.());
  if (own.length === 0) return foreignPortLine(findPortUse(system), waitMs);
  const pids = own.map(({ pid }) => pid).join(", ");
  return finding("port", "ok", `${port} is in use by nitro (pid ${pids}), which shares it`);
}

/** A launch waits for another launch that cannot share the port, and then starts. */
function foreignPortLine(use: FoundPortUse, waitMs: number | undefined): Finding {
  if (!use.isNitro) return failure("port", portInUse(use));
  const seconds = waitMs === undefined ? waitSeconds(use) : waitMs / 1000;
  return finding("port", "note", `${portInUse(use).why}; a launch waits for it, up to ${seconds} s`);
}
