/** vsock, and the port of the heartbeat. */
import { handoffInodes, PORT_IN_USE } from "../devices/heartbeat/port-holder.ts";
import { HEARTBEAT_PORT } from "../devices/heartbeat/protocol.ts";
import { processesWithDescriptor } from "../host/process/processes.ts";
import { vsockProblem } from "../host/vsock.ts";
import type { LaunchOptions } from "../launch/options.ts";
import { SyscallError } from "../sys/errors.ts";
import { localCid, vsockPortIsFree } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import { type Finding, failed, found } from "./finding.ts";

/** Looks at both. */
export function checkVsock(system: System, { heartbeat }: LaunchOptions): Finding[] {
  const problem = vsockProblem(system);
  if (problem !== undefined) {
    return [
      failed("vsock", problem),
      found("port", "note", `who holds port ${HEARTBEAT_PORT} shows once there is vsock`),
    ];
  }
  const cid = localCid(system);
  const line =
    cid === undefined
      ? found(
          "vsock",
          "note",
          "nothing is known against vsock; whether anything carries it cannot be told (/dev/vsock)",
        )
      : found("vsock", "ok", `AF_VSOCK, and this machine's CID is ${cid}`);
  if (heartbeat.policy === "none") return [line, found("port", "ok", "heartbeat=none needs no port")];
  return [line, portLine(system)];
}

function portLine(system: System): Finding {
  const port = `vsock port ${HEARTBEAT_PORT}`;
  try {
    if (vsockPortIsFree(system, HEARTBEAT_PORT)) return found("port", "ok", `${port} is free`);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return failed("port", { why: `${error.message}`, advice: "nitro check -help; ls -l /dev/vsock" });
  }
  const handoffs = handoffInodes(system).map((inode) => `socket:[${inode}]`);
  const { holders } = processesWithDescriptor(system, (link) => handoffs.includes(link));
  const own = holders.filter(({ uid }) => uid === process.geteuid?.());
  if (own.length === 0) return failed("port", PORT_IN_USE);
  const who = own.map(({ pid }) => pid).join(", ");
  return found("port", "ok", `${port} is held by launches of nitro's, which share it (process ${who})`);
}
