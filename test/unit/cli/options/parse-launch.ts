/** Parses command lines of a launch for the tests of options. */
import { parseCommandLine } from "../../../../src/cli/command-line.ts";
import type { LaunchOptions } from "../../../../src/launch/options.ts";

/** Parses the arguments of a launch. @param files the files that -readconfig can read, by path. */
export function parseLaunch(
  args: readonly string[],
  files: Readonly<Record<string, string>> = {},
): LaunchOptions {
  const request = parseCommandLine(args, (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`${path} was read`);
    return text;
  });
  if (!("launch" in request)) throw new Error(`${args.join(" ")} is not a launch`);
  return request.launch;
}

/** Parses `-kernel k` and these options, separated by single spaces. */
export function launchWith(options: string): LaunchOptions {
  return parseLaunch(["-kernel", "k", ...options.split(" ")]);
}
