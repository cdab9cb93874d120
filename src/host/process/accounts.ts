/**
 * The parent's users and groups, as /etc/passwd and /etc/group list them (passwd(5), group(5)). Other sources of names
 * (NSS) are not asked: their modules are code, which a launcher that gives up its rights has no use for.
 */

/** A row of /etc/passwd. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

function rows(text: string): string[][] {
  return text.split("\n").map((line) => line.split(":"));
}

/** A decimal id below 2^32 - 1, which stands for no id at all; undefined for anything else. */
function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  return Number(text) < 0xffff_ffff ? Number(text) : undefined;
}

/** The users of a passwd file; rows that are none are left out. */
export function parsePasswd(passwd: string): User[] {
  return rows(passwd).flatMap(([name, , uidText, gidText]) => {
    const [uid, gid] = [idOf(uidText), idOf(gidText)];
    return name === undefined || name === "" || uid === undefined || gid === undefined
      ? []
      : [{ name, uid, gid }];
  });
}

/** A row of /etc/group. */
export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** The groups of a group file; rows that are none are left out. */
export function parseGroup(group: string): Group[] {
  return rows(group).flatMap(([name, , gidText, members = ""]) => {
    const gid = idOf(gidText);
    if (name === undefined || name === "" || gid === undefined) return [];
    return [
      {
        name,
        gid,
        members: members
          .trim()
          .split(",")
          .filter((member) => member !== ""),
      },
    ];
  });
}

/** The groups that initgroups(3) gives a user: the user's own, then those that list the name. */
export function groupIdsOf(user: User, group: string): number[] {
  const listed = rows(group).flatMap(([, , gidText, members]) => {
    const gid = idOf(gidText);
    return gid !== undefined && members?.trim().split(",").includes(user.name) ? [gid] : [];
  });
  return [...new Set([user.gid, ...listed])];
}
