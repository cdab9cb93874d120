/** How long a heartbeat is awaited. */
import { GIB } from "../../sys/units.ts";

/** The time-out of AWS's CLI in milliseconds, by the sizes of the image and of the memory in bytes. */
export function awsTimeoutMs(imageBytes: number, memoryBytes: number): number {
  const image = 1 + Math.floor((imageBytes - 1) / (6 * GIB));
  const memory = 1 + Math.floor((memoryBytes - 1) / (100 * GIB));
  return 90_000 * (image + memory);
}
