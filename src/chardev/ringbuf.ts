/** `-chardev ringbuf,id=ID,size=N`: keeps the last N bytes in memory until a monitor command reads them. */
import type { Chardev } from "./chardev.ts";

/** Returns a ring buffer of `size` bytes, which must be a power of two. */
export function ringbufChardev(label: string, size: number): Chardev {
  const ring = new Uint8Array(size);
  // Free-running counters: an index into the ring is the counter modulo its size, as in QEMU's chardev/char-ringbuf.c.
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
    readRing(maxBytes) {
      const length = Math.min(maxBytes, produced - consumed);
      const bytes = Uint8Array.from({ length }, (_, i) => ring[(consumed + i) % size] ?? 0);
      consumed += length;
      return bytes;
    },
    addWaiters() {},
    attach(frontend) {
      attached = true;
      frontend.opened();
    },
    [Symbol.dispose]() {},
  };
}
