/** Users who may launch: root, and members of the device's group. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import { entries, expectNothingLeft, LIVE_MS, launchAs, lines, NITRO, notHere, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const GROUP = 4242;
const scenario = {
  deviceGid: GROUP,
  deviceMode: "0660",
  enclave: { console: ["up"], heartbeatMs: 1, liveMs: LIVE_MS },
};

/** The program at a path where every user may execute it; the project's directory may be closed to others. */
const program = here.path("nitro");
beforeAll(() => {
  copyFileSync(NITRO, program);
  chmodSync(program, 0o755);
});

describe.concurrent.skipIf(notHere !== undefined)("users", () => {
  const command = [program, ...here.debug().slice(1)];

  for (const user of ["0:0", `65534:65534:${GROUP}`, `65534:${GROUP}`]) {
    test(`user: ${user} can launch`, async () => {
      const result = await launchAs({ command, scenario, user });
      expect(result.stdout).toBe("up\n");
      expect(result.status).toBe(5);
      expectNothingLeft(result);
    });
  }

  for (const user of ["65534:65534", "65534:65534:4243"]) {
    test(`user: ${user}, which is not in the device's group, is refused with a fix`, async () => {
      const result = await launchAs({ command, scenario, user });
      expect(result.status).toBe(1);
      expect(lines(result.stderr)).toEqual([
        expect.stringMatching(
          /^nitro: \/dev\/nitro_enclaves: Permission denied \(EACCES\): the device belongs to group .* is not in it/,
        ),
        expect.stringMatching(/^hint: sudo .*usermod -aG .* then log in again, or run as root$/),
      ]);
      expect(entries(result, "bind")).toEqual([]);
      expectNothingLeft(result);
    });
  }
});
