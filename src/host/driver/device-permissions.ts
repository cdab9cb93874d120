/** Who may open the driver's device, and how this user comes to be among them. */
import { fileStatus } from "../../sys/file-status.ts";
import { readLimited } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { asRoot, type Problem, shellQuote } from "../problem.ts";
import { type Group, parseGroup, parsePasswd } from "../process/accounts.ts";

/** What AWS's packages call the group (aws-nitro-enclaves-cli: /usr/lib/udev/rules.d/99-nitro_enclaves.rules). */
const USUAL_GROUP = "ne";

function accounts(system: System, name: "passwd" | "group"): string {
  return readLimited(system, `/etc/${name}`, 1024 * 1024) ?? "";
}

/** Why the kernel lets this user not open a device for reading and writing, and what lets them. */
export function accessProblem(system: System, path: string): Problem {
  const groups = parseGroup(accounts(system, "group"));
  const user = effectiveUserName(system);
  const status = fileStatus(system, path);
  const owner = groups.find(({ gid }) => gid === status?.gid);
  const name = shellQuote(user);
  // A group that root alone is in is not one to be joined.
  if (status === undefined || status.gid === 0 || (status.mode & 0o60) !== 0o60) {
    const group = owner === undefined || owner.gid === 0 ? USUAL_GROUP : owner.name;
    return {
      why: `the device is root's alone (${statusText(status, owner)})`,
      command: asRoot(
        `groupadd -f ${group} && chgrp ${group} ${path} && chmod 660 ${path} && usermod -aG ${group} ${name}`,
      ),
      advice:
        "then log in again, or run as root; this udev rule makes it last: " +
        `KERNEL=="nitro_enclaves", GROUP="${group}", MODE="0660"`,
    };
  }
  if (owner === undefined) {
    return {
      why: `the device is for the group ${status.gid}, which has no name here, and ${user} is not in it`,
      command: asRoot(`groupadd -g ${status.gid} ${USUAL_GROUP} && usermod -aG ${USUAL_GROUP} ${name}`),
      advice: "then log in again, or run as root",
    };
  }
  if (owner.members.includes(user) || ownRow(system, user)?.gid === owner.gid) {
    return {
      why: `the device is for the group ${owner.name}, which ${user} has joined since this login`,
      command: `newgrp ${shellQuote(owner.name)}`,
      advice: "or log in again",
    };
  }
  return {
    why: `the device is for the group ${owner.name}, which ${user} is not in`,
    command: asRoot(`usermod -aG ${shellQuote(owner.name)} ${name}`),
    advice: "then log in again, or run as root",
  };
}

function statusText(status: ReturnType<typeof fileStatus>, owner: Group | undefined): string {
  if (status === undefined) return "its owner cannot be told";
  return `group ${owner?.name ?? status.gid}, mode ${status.mode.toString(8).padStart(4, "0")}`;
}

function ownRow(system: System, name: string) {
  return parsePasswd(accounts(system, "passwd")).find((user) => user.name === name);
}

/** The name of the user that this process runs as, or the number. */
export function effectiveUserName(system: System): string {
  const uid = process.geteuid?.() ?? 0;
  const users = parsePasswd(accounts(system, "passwd"));
  return users.find((user) => user.uid === uid)?.name ?? String(uid);
}
