/** The manual's pages: Markdown files that the executable contains. One row per page, loaded when it is printed. */

/** A page of the manual. */
export interface ManualPage {
  /** What it is about, for `nitro help`. */
  readonly summary: string;
  /** Returns its Markdown. */
  readonly load: () => Promise<string>;
}

/** The pages by topic, in the order of `nitro help`. */
export const MANUAL_PAGES: Readonly<Record<string, ManualPage>> = {
  launch: {
    summary: "what a launch does; process options",
    load: async () => (await import("../manual/launch.md", { with: { type: "text" } })).default,
  },
  accelerator: {
    summary: "properties of -accel nitro; the heartbeat",
    load: async () => (await import("../manual/accelerator.md", { with: { type: "text" } })).default,
  },
  memory: {
    summary: "memory and huge pages",
    load: async () => (await import("../manual/memory.md", { with: { type: "text" } })).default,
  },
  cpu: {
    summary: "vCPUs and the CPU pool",
    load: async () => (await import("../manual/cpu.md", { with: { type: "text" } })).default,
  },
  image: {
    summary: "kernels, ramdisks and EIF files",
    load: async () => (await import("../manual/image.md", { with: { type: "text" } })).default,
  },
  eif: {
    summary: "nitro eif: build, measure and sign images",
    load: async () => (await import("../manual/eif.md", { with: { type: "text" } })).default,
  },
  console: {
    summary: "the debug console and character devices",
    load: async () => (await import("../manual/console.md", { with: { type: "text" } })).default,
  },
  monitor: {
    summary: "HMP and QMP",
    load: async () => (await import("../manual/monitor.md", { with: { type: "text" } })).default,
  },
  pool: {
    summary: "nitro pool: prepare CPUs and huge pages",
    load: async () => (await import("../manual/pool.md", { with: { type: "text" } })).default,
  },
  check: {
    summary: "nitro check: would a launch succeed?",
    load: async () => (await import("../manual/check.md", { with: { type: "text" } })).default,
  },
  "exit-status": {
    summary: "what each exit status means, and what to do",
    load: async () => (await import("../manual/exit-status.md", { with: { type: "text" } })).default,
  },
  deviations: {
    summary: "differences from QEMU",
    load: async () => (await import("../manual/deviations.md", { with: { type: "text" } })).default,
  },
  security: {
    summary: "what nitro trusts and restricts",
    load: async () => (await import("../manual/security.md", { with: { type: "text" } })).default,
  },
  glossary: {
    summary: "terms",
    load: async () => (await import("../manual/glossary.md", { with: { type: "text" } })).default,
  },
};
