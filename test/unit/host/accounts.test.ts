import { describe, expect, test } from "bun:test";
import { groupIdsOf, parseGroup, parsePasswd } from "../../../src/host/process/accounts.ts";

const PASSWD =
  "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100::/home/bob:/bin/sh\n\n+::::::\nbad:x:abc:1::/:\nlost:x:4294967295:1::/:\n";
const GROUP = "root:x:0:\nne:x:900:alice,bob\nusers:x:100:bob\nkvm:x:901:bobby\n+:::\n";

describe("accounts", () => {
  test("passwd: malformed lines are skipped", () => {
    expect(parsePasswd(PASSWD)).toEqual([
      { name: "root", uid: 0, gid: 0 },
      { name: "bob", uid: 1000, gid: 100 },
    ]);
  });

  test("group: malformed lines are skipped", () => {
    expect(parseGroup(GROUP)).toEqual([
      { name: "root", gid: 0, members: [] },
      { name: "ne", gid: 900, members: ["alice", "bob"] },
      { name: "users", gid: 100, members: ["bob"] },
      { name: "kvm", gid: 901, members: ["bobby"] },
    ]);
  });

  test("groups of a user: are the primary group, then those with the user as a member, each once", () => {
    expect(groupIdsOf({ name: "bob", uid: 1000, gid: 100 }, GROUP)).toEqual([100, 900]);
    expect(groupIdsOf({ name: "eve", uid: 1, gid: 5 }, GROUP)).toEqual([5]);
  });
});
