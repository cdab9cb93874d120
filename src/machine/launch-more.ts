/** A launch that asks for more than most do: what each of its options needs is loaded here, for it alone. */
import { Failure } from "../sys/failure.ts";
import type { System } from "../sys/system.ts";
import type { Extras } from "./extras.ts";
import { launch } from "./launch.ts";
import type { Measured } from "./measure.ts";
import { HANDED_OVER, type LaunchOptions } from "./options.ts";
import { checkOutputs } from "./outputs.ts";
import { openTraceFile } from "./trace-file.ts";

/** The launch, and how it came here. */
export interface Asked {
  /** The command line. */
  readonly words: readonly string[];
  /** The word before them that makes this process the daemon. */
  readonly handedOver: string | undefined;
  readonly options: LaunchOptions;
  readonly tell: (line: string) => void;
  readonly toStderr: (text: string) => void;
  /** Draws on the user's terminal; does nothing where that is none. */
  readonly draw: (text: string) => void;
}

/** Launches, here or in the background. Gives the exit status; throws Failure. */
export async function launchMore(system: System, asked: Asked): Promise<number> {
  const { options, handedOver, tell } = asked;
  const { process } = options;
  if (handedOver !== undefined && !process?.daemonize) throw new Failure(handedOver, "invalid option");
  const daemon = process?.daemonize ? await import("./daemon.ts") : undefined;
  if (daemon !== undefined && handedOver === undefined)
    return daemon.launchInBackground(system, asked.words, tell);
  let logFd: number | undefined;
  const status = daemon?.becomeDaemon(system, handedOver ?? HANDED_OVER, () => logFd);
  checkOutputs(system, options);
  using trace = openTraceFile(system, options, asked.toStderr);
  logFd = trace.fd;
  const extras: Mutable<Extras> = { draw: asked.draw };
  const { measure, debugMode, cpuIds } = options;
  if (cpuIds !== undefined) {
    const { pickCpus } = await import("./picked-cpus.ts");
    extras.pickCpus = () => pickCpus(system, cpuIds);
  }
  if (measure !== undefined) {
    const { measureImage } = await import("./measure.ts");
    let measured: Measured | undefined;
    extras.measure = (...image) => {
      measured = measureImage(measure, debugMode, ...image);
      return measured.pcrs;
    };
    extras.started = () => measured?.lines.forEach(tell);
  }
  if (process !== undefined) {
    const { prepareProcess } = await import("./settle.ts");
    using prepared = await prepareProcess(system, process, status);
    extras.settle = prepared.settle;
    extras.pidFileEnd = process.chroot === undefined ? "in its folder" : "emptied";
    return await launch(system, options, tell, extras);
  }
  return await launch(system, options, tell, extras);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
