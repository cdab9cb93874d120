/** From the options of a command line to LaunchOptions: every value is checked before the first system call. */
import type { LaunchOptions } from "../../launch/options.ts";
import { acceleratorOptions } from "./accel.ts";
import { readChardev } from "./chardev.ts";
import { cpuOptions } from "./cpu.ts";
import { debugOptions } from "./debug.ts";
import { commandLineOptions } from "./describe.ts";
import { descriptorOptions } from "./descriptors.ts";
import { DISPLAY, READCONFIG, VGA } from "./general.ts";
import { imageOptions } from "./image.ts";
import { MACHINE } from "./machine.ts";
import { memoryOptions } from "./memory.ts";
import { frontendOptions } from "./monitor.ts";
import { nameOptions } from "./name.ts";
import { checkObjects } from "./object.ts";
import { fullText, type ParsedOptions } from "./parsed-options.ts";
import { processOptions } from "./process.ts";

/** Checks a whole command line. Throws UserError, naming the option as it was typed. */
export function launchOptions(parsed: ParsedOptions): LaunchOptions {
  parsed.value(DISPLAY);
  parsed.value(VGA);
  checkObjects(parsed);
  const accelerator = acceleratorOptions(parsed);
  const machine = parsed.properties(MACHINE);
  const process = processOptions(parsed);
  return {
    ...accelerator,
    ...imageOptions(parsed, machine),
    ...memoryOptions(parsed, machine),
    ...cpuOptions(parsed, accelerator.cpuIds),
    ...frontendOptions(parsed, process.process?.daemonize ?? false),
    ...descriptorOptions(parsed),
    ...nameOptions(parsed),
    ...process,
    ...debugOptions(parsed),
    configFiles: parsed.of(READCONFIG).map((file) => ({ value: file.value, typed: fullText(file) })),
    readChardev,
    commandLineOptions,
  };
}
