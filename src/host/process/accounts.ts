/**
 * The parent's users and groups from /etc/passwd and /etc/group (passwd(5), group(5)). Other sources of names (NSS) are
 * not consulted: they would load modules into a launcher that drops its privileges.
 */

/** A line of /etc/passwd. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

function splitLines(text: string): string[][] {
  return text.split("\n").map((line) => line.split(":"));
}

/** Returns a decimal id; undefined for anything else, and for 2^32 - 1, which the kernel uses for "no id". */
function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  return Number(text) < 0xffff_ffff ? Number(text) : undefined;
}

function parseMembers(text: string): string[] {
  return text
    .trim()
    .split(",")
    .filter((member) => member !== "");
}

/** Returns the users of a passwd file; malformed lines are skipped. */
export function parsePasswd(passwd: string): User[] {
  return splitLines(passwd).flatMap(([name, , uidText, gidText]) => {
    const [uid, gid] = [parseId(uidText), parseId(gidText)];
    return name === undefined || name === "" || uid === undefined || gid === undefined
      ? []
      : [{ name, uid, gid }];
  });
}

/** A line of /etc/group. */
export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Returns the groups of a group file; malformed lines are skipped. */
export function parseGroup(group: string): Group[] {
  return splitLines(group).flatMap(([name, , gidText, members = ""]) => {
    const gid = parseId(gidText);
    return name === undefined || name === "" || gid === undefined
      ? []
      : [{ name, gid, members: parseMembers(members) }];
  });
}

/** Returns the group ids that initgroups(3) gives a user: the primary group, then those with the user as a member. */
export function groupIdsOf(user: User, group: string): number[] {
  const memberOf = parseGroup(group).filter(({ members }) => members.includes(user.name));
  return [...new Set([user.gid, ...memberOf.map(({ gid }) => gid)])];
}
