/** `-serial null`: discards output and has no input. */
import type { Chardev } from "./chardev.ts";

/** Returns a device that discards what is written to it. */
export function nullChardev(label: string): Chardev {
  let attached = false;
  return {
    label,
    type: "chardev-null",
    name: "null",
    fd: -1,
    writeTimeoutMs: Number.POSITIVE_INFINITY,
    connected: true,
    get attached() {
      return attached;
    },
    filename: () => "null",
    write: (_, start, end) => end - start,
    addWaiters() {},
    attach(frontend) {
      attached = true;
      frontend.opened();
    },
    [Symbol.dispose]() {},
  };
}
