/** The kernel's list of UNIX sockets with their owners (net/unix/diag.c), which /proc/net/unix does not have. */
import { AF_UNIX } from "../linux/socket.ts";
import { TCP_LISTEN } from "../linux/tcp_states.ts";
import * as diag from "../linux/unix_diag.ts";
import type { System } from "../system.ts";
import { attributesOf, dumpSockets } from "./sock-diag.ts";

/**
 * Returns the abstract names with this prefix on which sockets of these users listen; undefined if the kernel does not
 * report owners (before Linux 5.3, or without CONFIG_UNIX_DIAG).
 */
export function ownedNames(system: System, prefix: string, users: readonly number[]): string[] | undefined {
  const request = diag.unixDiagReq.encode({
    sdiag_family: AF_UNIX,
    sdiag_protocol: 0,
    pad: 0,
    udiag_states: 1 << TCP_LISTEN,
    udiag_ino: 0,
    udiag_show: diag.UDIAG_SHOW_NAME | diag.UDIAG_SHOW_UID,
    udiag_cookie: [0, 0],
  });
  const decoder = new TextDecoder("latin1");
  const names: string[] = [];
  let hasOwners = true;
  const isComplete = dumpSockets(system, request, (body) => {
    const attributes = attributesOf(body, diag.unixDiagMsg.size);
    const owner = attributes.get(diag.UNIX_DIAG_UID);
    hasOwners = owner?.length === 4;
    if (owner === undefined || !hasOwners) return true;
    const name = decoder.decode(attributes.get(diag.UNIX_DIAG_NAME));
    const uid = new DataView(owner.buffer, owner.byteOffset).getUint32(0, true);
    if (name.startsWith(`\0${prefix}`) && users.includes(uid)) names.push(name.slice(1));
    return false;
  });
  return isComplete && hasOwners ? names : undefined;
}
