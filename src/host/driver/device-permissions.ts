/** Which users may open the driver's device, and how this user becomes one of them. */
import { fileStatus } from "../../sys/file-status.ts";
import { readLimited } from "../../sys/files.ts";
import { shellQuote } from "../../sys/shell-quote.ts";
import type { System } from "../../sys/system.ts";
import { asRoot, type Problem } from "../problem.ts";
import { type Group, parseGroup, parsePasswd } from "../process/accounts.ts";

/** The group's name in AWS's packages (aws-nitro-enclaves-cli: /usr/lib/udev/rules.d/99-nitro_enclaves.rules). */
const USUAL_GROUP = "ne";
const MAX_ACCOUNTS_BYTES = 1024 * 1024;

function readAccounts(system: System, name: "passwd" | "group"): string {
  return readLimited(system, `/etc/${name}`, MAX_ACCOUNTS_BYTES) ?? "";
}

/** Returns why the kernel refuses this user to open a device for reading and writing, and how to permit it. */
export function accessProblem(system: System, path: string): Problem {
  const groups = parseGroup(readAccounts(system, "group"));
  const user = effectiveUserName(system);
  const status = fileStatus(system, path);
  const owner = groups.find(({ gid }) => gid === status?.gid);
  const name = shellQuote(user);
  // Membership in root's own group is no fix.
  if (status === undefined || status.gid === 0 || (status.mode & 0o60) !== 0o60) {
    const group = owner === undefined || owner.gid === 0 ? USUAL_GROUP : owner.name;
    return {
      why: `only root may open the device (${statusText(status, owner)})`,
      command: asRoot(
        `groupadd -f ${group} && chgrp ${group} ${path} && chmod 660 ${path} && usermod -aG ${group} ${name}`,
      ),
      advice:
        "then log in again, or run as root; to keep this after a reboot, add the udev rule " +
        `KERNEL=="nitro_enclaves", GROUP="${group}", MODE="0660"`,
    };
  }
  if (owner === undefined) {
    return {
      why: `the device belongs to group ${status.gid}, which has no name here, and ${user} is not in it`,
      command: asRoot(`groupadd -g ${status.gid} ${USUAL_GROUP} && usermod -aG ${USUAL_GROUP} ${name}`),
      advice: "then log in again, or run as root",
    };
  }
  if (owner.members.includes(user) || userNamed(system, user)?.gid === owner.gid) {
    return {
      why: `the device belongs to group ${owner.name}, which ${user} joined after this login`,
      advice: `log in again, or start a shell that is in the group: newgrp ${shellQuote(owner.name)}`,
    };
  }
  return {
    why: `the device belongs to group ${owner.name}, and ${user} is not in it`,
    command: asRoot(`usermod -aG ${shellQuote(owner.name)} ${name}`),
    advice: "then log in again, or run as root",
  };
}

function statusText(status: ReturnType<typeof fileStatus>, owner: Group | undefined): string {
  if (status === undefined) return "its owner is unknown";
  return `group ${owner?.name ?? status.gid}, mode ${status.mode.toString(8).padStart(4, "0")}`;
}

function userNamed(system: System, name: string) {
  return parsePasswd(readAccounts(system, "passwd")).find((user) => user.name === name);
}

/** Returns the name of the user that this process runs as, or the user id if it has no name. */
export function effectiveUserName(system: System): string {
  const uid = process.geteuid?.() ?? 0;
  const users = parsePasswd(readAccounts(system, "passwd"));
  return users.find((user) => user.uid === uid)?.name ?? String(uid);
}
