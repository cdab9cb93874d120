/** A launch that asks for more than most do: what each of its options needs is loaded here, for it alone. */
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import type { Extras } from "./extras.ts";
import type { Measured } from "./image/measure.ts";
import { launch } from "./launch.ts";
import { HANDED_OVER, type LaunchOptions } from "./options.ts";
import { checkOutputs } from "./process/output-conflicts.ts";
import { openTraceFile } from "./process/trace-file.ts";

/** The launch, and how it came here. */
export interface Asked {
  /** The command line. */
  readonly words: readonly string[];
  /** The word before them that makes this process the daemon. */
  readonly handedOver: string | undefined;
  readonly options: LaunchOptions;
  readonly report: (line: string) => void;
  readonly toStderr: (text: string) => void;
  /** Draws on the user's terminal; does nothing where that is none. */
  readonly draw: (text: string) => void;
}

/** Launches, here or in the background. Gives the exit status; throws UserError. */
export async function launchMore(system: System, asked: Asked): Promise<number> {
  const { options, handedOver, report } = asked;
  const { process } = options;
  if (handedOver !== undefined && !process?.daemonize) throw new UserError(handedOver, "invalid option");
  const daemon = process?.daemonize ? await import("./process/daemon.ts") : undefined;
  if (daemon !== undefined && handedOver === undefined)
    return daemon.launchInBackground(system, asked.words, report);
  let logFd: number | undefined;
  const status = daemon?.becomeDaemon(system, handedOver ?? HANDED_OVER, () => logFd);
  checkOutputs(system, options);
  using trace = openTraceFile(system, options, asked.toStderr);
  logFd = trace.fd;
  const extras: Mutable<Extras> = { draw: asked.draw };
  const { measure, debugMode, cpuIds } = options;
  if (cpuIds !== undefined) {
    const { pickCpus } = await import("./plan/cpu-ids.ts");
    extras.pickCpus = () => pickCpus(system, cpuIds);
  }
  if (measure !== undefined) {
    const { measureImage } = await import("./image/measure.ts");
    let measured: Measured | undefined;
    extras.measure = (...image) => {
      measured = measureImage(measure, debugMode, ...image);
      return measured.pcrs;
    };
    extras.started = () => measured?.lines.forEach(report);
  }
  if (process !== undefined) {
    const { prepareProcess } = await import("./process/drop-privileges.ts");
    using prepared = await prepareProcess(system, process, status);
    extras.settle = prepared.settle;
    extras.pidFileEnd = process.chroot === undefined ? "in its directory" : "emptied";
    return await launch(system, options, report, extras);
  }
  return await launch(system, options, report, extras);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
