/** Checks vsock and the vsock port of the heartbeat. */
import { handoffInodes, portInUse } from "../devices/heartbeat/port-holder.ts";
import { HEARTBEAT_PORT } from "../devices/heartbeat/protocol.ts";
import { processesWithDescriptor } from "../host/process/processes.ts";
import { vsockProblem } from "../host/vsock.ts";
import { describePortHolder } from "../launch/diagnose.ts";
import type { LaunchOptions } from "../launch/options.ts";
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
  return [line, portLine(system)];
}

function portLine(system: System): Finding {
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
  const handoffs = handoffInodes(system).map((inode) => `socket:[${inode}]`);
  const { holders } = processesWithDescriptor(system, (link) => handoffs.includes(link));
  const own = holders.filter(({ uid }) => uid === process.geteuid?.());
  if (own.length === 0) return failure("port", portInUse(describePortHolder(system)));
  const pids = own.map(({ pid }) => pid).join(", ");
  return finding("port", "ok", `${port} is in use by nitro (pid ${pids}), which shares it`);
}
