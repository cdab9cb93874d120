/** Runs nitro's commands inside this process: a hundred times as many cases as programs could be started. */
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

/** What a launch says once it has found nothing wrong with the image: here there is no device to ask. */
export const DEVICE = "/dev/nitro_enclaves: ";
/** And that it has been measured, which not every launch does. */
export const MEASURED = "the image has been measured";

const MEMORY_BYTES = 96 * 1024 * 1024;
const OFFSET = 8 * 1024 * 1024;

/** Runs them on the real system calls. */
export function insideRunner(): Run & Disposable {
  const system = openSystem();
  const stdout = openSync("/dev/null", "w");
  const memory = new Uint8Array(MEMORY_BYTES);
  const mapping = new Mapping(system, addressOf(memory), memory.length);
  const report = () => {};

  const launched = async (words: readonly string[]): Promise<Answer> => {
    const request = parseCommandLine(words, (path) => readText(system, path));
    if (!("launch" in request)) throw new Error("no launch");
    const options = request.launch;
    using image = await openImage({ system, report, progress: NO_PROGRESS }, options);
    let measured = "no more is asked";
    if (image.size <= memory.length - OFFSET) {
      image.load(mapping, OFFSET);
      ramdiskWarnings(image, mapping, OFFSET, { bytes: MEMORY_BYTES, typed: "-m 96M" });
      measured = MEASURED;
      measureImage({ report: true, expected: [] }, false, image, mapping, OFFSET, report);
    }
    return { kind: "refused", message: `${DEVICE}${measured}` };
  };

  const run = async (words: readonly string[]): Promise<Answer> => {
    try {
      if (words[0]?.startsWith("-")) return await launched(words);
      const { output, status = 0 } = await runSubcommand(words, { system, report, toStderr: report, stdout });
      return { kind: "answered", out: output, status };
    } catch (error) {
      if (error instanceof UserError) return { kind: "refused", message: `${error.what}: ${error.why}` };
      throw error;
    }
  };
  return Object.assign(run, { [Symbol.dispose]: () => closeSync(stdout) });
}
