/** Runs nitro's commands in this process, which is a hundred times faster than starting the program. */
import { closeSync, openSync } from "node:fs";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { runSubcommand } from "../../src/cli/commands/nitro.ts";
import { openImage } from "../../src/launch/image/image-files.ts";
import { measureImage } from "../../src/launch/image/measure.ts";
import { ramdiskWarnings } from "../../src/launch/image/ramdisk-check.ts";
import { NO_PROGRESS } from "../../src/launch/progress.ts";
import { UserError } from "../../src/sys/errors.ts";
import { readText } from "../../src/sys/files.ts";
import { addressOf } from "../../src/sys/libc.ts";
import { Mapping } from "../../src/sys/memory.ts";
import { openSystem } from "../../src/sys/system.ts";
import type { Answer, Run } from "./place.ts";

/** The start of a launch's message after the image was accepted: there is no device here. */
export const DEVICE = "/dev/nitro_enclaves: ";
/** Follows if the image was measured as well. */
export const MEASURED = "the image has been measured";

const MEMORY_BYTES = 96 * 1024 * 1024;
const OFFSET = 8 * 1024 * 1024;

/** Creates the runner, which uses the real system calls. */
export function insideRunner(): Run & Disposable {
  const system = openSystem();
  const stdout = openSync("/dev/null", "w");
  const memory = new Uint8Array(MEMORY_BYTES);
  const mapping = new Mapping(system, addressOf(memory), memory.length);
  const report = () => {};

  const launch = async (args: readonly string[]): Promise<Answer> => {
    const request = parseCommandLine(args, (path) => readText(system, path));
    if (!("launch" in request)) throw new Error("not a launch");
    const options = request.launch;
    using image = await openImage({ system, report, progress: NO_PROGRESS }, options);
    let state = "not measured";
    if (image.size <= memory.length - OFFSET) {
      image.load(mapping, OFFSET);
      ramdiskWarnings(image, mapping, OFFSET, { bytes: MEMORY_BYTES, typed: "-m 96M" });
      state = MEASURED;
      measureImage({ report: true, expected: [] }, false, image, mapping, OFFSET, report);
    }
    return { kind: "refused", message: `${DEVICE}${state}` };
  };

  const run = async (args: readonly string[]): Promise<Answer> => {
    try {
      if (args[0]?.startsWith("-")) return await launch(args);
      const { output, status = 0 } = await runSubcommand(args, { system, report, toStderr: report, stdout });
      return { kind: "answered", out: output, status };
    } catch (error) {
      if (error instanceof UserError) return { kind: "refused", message: `${error.what}: ${error.why}` };
      throw error;
    }
  };
  return Object.assign(run, { [Symbol.dispose]: () => closeSync(stdout) });
}
