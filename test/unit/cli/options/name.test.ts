import { describe, expect, test } from "bun:test";
import { messagePrefix } from "../../../../src/cli/options/name.ts";
import { launchWith } from "./parse-launch.ts";

describe("-uuid, -S, -no-shutdown and -msg", () => {
  test("-uuid, -S and -no-shutdown: -uuid is lower case, and the others set their options", () => {
    const options = launchWith("-uuid 0B0C0D0E-0000-1111-2222-ABCDEFABCDEF -S -no-shutdown");
    expect(options).toMatchObject({
      uuid: "0b0c0d0e-0000-1111-2222-abcdefabcdef",
      paused: true,
      staysAfterEnd: true,
    });
  });

  test.each([
    ["-msg timestamp=on", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z $/],
    ["-msg timestamp", /^\d{4}.*Z $/],
    ["-msg guest-name=on -name web", /^web $/],
    ["-msg guest-name=on", /^$/],
    ["-msg timestamp=on,guest-name=on -name web", /^\d{4}.*Z web $/],
    ["-msg timestamp=off", /^$/],
  ])("-msg: %s", (args, prefix) => {
    expect(messagePrefix(launchWith(args))).toMatch(prefix);
  });
});
