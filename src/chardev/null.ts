/** `-serial null`: takes everything, keeps nothing. */
import type { Chardev } from "./chardev.ts";

/** A device that nobody is behind. */
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
