/** The init's heartbeat: one byte to the parent's port 9000, the same byte back, then the end of the connection. */

import type { HeartbeatOutcome } from "../report.ts";
import { E } from "../sys/errno.ts";
import { closeFd, readSome, writeSome } from "../sys/files.ts";
import { POLL } from "../sys/kernel.ts";
import { fixedBytes } from "../sys/libc.ts";
import type { World } from "../world.ts";

/** The port of AWS's launcher (aws-nitro-enclaves-cli: ENCLAVE_READY_VSOCK_PORT). */
export const HEARTBEAT_PORT = 9000;

/** Sends a byte from a CID and waits for its echo. @param finished called once with the outcome. */
export function sendHeartbeat(
  world: World,
  cid: number,
  byte: number,
  finished: (outcome: HeartbeatOutcome["outcome"]) => void,
): void {
  const { loop, trace, ledger, vsock } = world;
  const finish = (outcome: HeartbeatOutcome["outcome"]): void => {
    ledger.heartbeats.push({ cid, byte, outcome });
    trace.add(outcome === "answered" ? "heartbeat answered" : "heartbeat failed", { cid, byte, outcome });
    finished(outcome);
  };
  const fd = vsock.connectFrom(cid, HEARTBEAT_PORT);
  if (fd < 0) return finish("refused");
  trace.add("heartbeat connected", { cid, byte });
  const bytes = fixedBytes(1);
  bytes[0] = byte;
  writeSome(fd, bytes);
  let answer: number | undefined;
  const watch = loop.watch(fd, POLL.IN, () => {
    const got = readSome(fd, bytes);
    if (got === -E.EAGAIN) return;
    if (got > 0 && answer === undefined) {
      answer = bytes[0];
      finish(answer === byte ? "answered" : "wrong answer");
    } else if (got <= 0) {
      loop.unwatch(watch);
      closeFd(fd);
      if (answer === undefined) finish("no answer");
      else trace.add("heartbeat closed", { cid });
    }
  });
}

/** Connects to port 9000 and sends nothing until the other side closes. */
export function connectSilently(world: World, cid: number): void {
  const { loop, trace, vsock } = world;
  const fd = vsock.connectFrom(cid, HEARTBEAT_PORT);
  trace.add("silent peer connected", { cid, ok: fd >= 0 });
  if (fd < 0) return;
  const bytes = fixedBytes(16);
  const watch = loop.watch(fd, POLL.IN, () => {
    if (readSome(fd, bytes) > 0) return;
    trace.add("silent peer closed", { cid });
    loop.unwatch(watch);
    closeFd(fd);
  });
}
