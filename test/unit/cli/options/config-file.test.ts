import { describe, expect, test } from "bun:test";
import { userErrorOf } from "../../../support/error-of.ts";
import { parseLaunch } from "./parse-launch.ts";

const MIB = 2 ** 20;

describe("-readconfig", () => {
  const config = (text: string, ...args: string[]) => parseLaunch(["-readconfig", "f", ...args], { f: text });

  test("-readconfig: groups stand for options at the place of the file", () => {
    const options = config(
      '# all\n[machine]\n  type = "nitro"\n  kernel = "k"\n  memory-backend = "m"\n[accel]\naccel = "nitro"\ndebug-mode = "on"\n' +
        '[object "m"]\nqom-type = "memory-backend-memfd"\nsize = "256M"\n[smp-opts]\ncpus = "2"\n[name]\nguest = "a,b"\n' +
        '[sandbox]\nenable = "on"\n[run-with]\nuser = "1:1"\n',
      "-smp",
      "4",
    );
    expect(options).toMatchObject({
      kernel: { value: "k" },
      debugMode: true,
      name: "a,b",
      vcpus: { value: 4 },
    });
    expect(options.memoryBytes?.value).toBe(256 * MIB);
    expect(options.process).toMatchObject({ sandbox: true, user: { value: { uid: 1, gid: 1 } } });
  });

  test.each([
    ['[nosuch]\na = "1"', "There is no option group 'nosuch'"],
    ['[memory "x"]\nsize = "1"', "Invalid parameter 'id'"],
    ['x = "1"', "no group defined"],
    ["[machine]\ntype = nitro", "parse error"],
    ["[machine", "parse error"],
    ['[drive "d"]\nfile = "x"', "an enclave has no disks"],
    ['[machine]\nkernel = "k"\nfoo = "b"', "Property 'nitro-machine.foo' not found"],
  ])("-readconfig: %p is refused", (text, why) => {
    expect(userErrorOf(() => config(text)).why).toBe(why);
  });
});
