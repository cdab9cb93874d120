/** What only some launches ask for, brought by whoever has loaded it. */
import type { Mapping } from "../sys/memory.ts";
import type { Image } from "./image/image-files.ts";
import type { Measured } from "./image/measure.ts";
import type { Vcpus } from "./plan/vcpus.ts";
import type { PidFileEnd } from "./process/pid-file.ts";

/** Each is there where it is asked for. */
export interface Extras {
  /** Called once when everything is prepared and nothing but the loop is left: the process becomes what it is to be. */
  readonly settle?: () => void;
  readonly pidFileEnd?: PidFileEnd;
  /** Measures the image in memory. Throws UserError for what is not expected, Cancelled. */
  readonly measure?: (
    image: Image,
    memory: Mapping,
    offset: number,
    between: (bytes: number) => void,
  ) => Measured["pcrs"];
  /** Draws on the user's terminal; does nothing where that is none. */
  readonly draw?: (text: string) => void;
  /** Where CPUs are picked by hand: looks at them. Throws UserError for what the driver would refuse. */
  readonly pickCpus?: () => Vcpus;
  /** Called once the enclave has started and that has been told. */
  readonly started?: () => void;
}
