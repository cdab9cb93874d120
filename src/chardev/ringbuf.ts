/** `-chardev ringbuf,id=ID,size=N`: memory that keeps the last N bytes until a monitor reads them. */
import type { Chardev } from "./chardev.ts";

/** A ring of `size` bytes, a power of two. */
export function ringbufChardev(label: string, size: number): Chardev {
  const ring = new Uint8Array(size);
  // Both count for ever; only their difference and their remainders are used.
  let produced = 0;
  let consumed = 0;
  let attached = false;
  return {
    label,
    type: "chardev-ringbuf",
    name: "ring buffer",
    fd: -1,
    writeTimeoutMs: Number.POSITIVE_INFINITY,
    connected: true,
    get attached() {
      return attached;
    },
    filename: () => "ringbuf",
    write({ bytes }, start, end) {
      for (let i = Math.max(start, end - size); i < end; i++)
        ring[(produced + i - start) % size] = bytes[i] ?? 0;
      produced += end - start;
      consumed = Math.max(consumed, produced - size);
      return end - start;
    },
    readRing(most) {
      const length = Math.min(most, produced - consumed);
      const taken = Uint8Array.from({ length }, (_, i) => ring[(consumed + i) % size] ?? 0);
      consumed += length;
      return taken;
    },
    addWaiters() {},
    attach(frontend) {
      attached = true;
      frontend.opened();
    },
    [Symbol.dispose]() {},
  };
}
