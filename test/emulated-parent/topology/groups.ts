/** /etc/group: the rows of the scenario, which groupadd(8) and usermod(8) change, and the machine's own. */
import { readFileSync } from "node:fs";
import { E } from "../sys/errno.ts";

/** The groups. */
export class Groups {
  private readonly rows = new Map<string, { gid: number; members: string[] }>();

  constructor(groups: Readonly<Record<string, number>>) {
    for (const [name, gid] of Object.entries(groups)) this.rows.set(name, { gid, members: [] });
  }

  /** The whole file. */
  get text(): string {
    const own = readFileSync("/etc/group", "utf8").split("\n").filter(Boolean);
    const kept = own.filter((row) => !this.rows.has(row.split(":")[0] ?? ""));
    const named = [...this.rows].map(([name, { gid, members }]) => `${name}:x:${gid}:${members.join(",")}`);
    return `${[...kept, ...named].join("\n")}\n`;
  }

  /** groupadd: gives 0 or the errno. */
  add(name: string, gid: number): number {
    if (name === "" || this.rows.has(name)) return E.EEXIST;
    this.rows.set(name, { gid, members: [] });
    return 0;
  }

  /** usermod -aG: adds a member from the next login on; returns 0 or the errno. */
  join(name: string, user: string): number {
    const row = this.rows.get(name);
    if (row === undefined) return E.ENOENT;
    row.members = [...new Set([...row.members, user])];
    return 0;
  }
}
