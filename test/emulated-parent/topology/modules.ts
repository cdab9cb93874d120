/** Kernel modules: their states, and the effects of modprobe(8) and rmmod(8). */
import { E } from "../sys/errno.ts";
import type { ModuleState } from "./host.ts";

/** The modules that a module depends on. */
const needs: Readonly<Record<string, readonly string[]>> = {
  vmw_vsock_virtio_transport_common: ["vsock"],
  vmw_vsock_virtio_transport: ["vmw_vsock_virtio_transport_common", "vsock"],
  vhost_vsock: ["vmw_vsock_virtio_transport_common", "vsock"],
  vsock_loopback: ["vmw_vsock_virtio_transport_common", "vsock"],
};

/** The modules of one kernel. */
export class Modules {
  private readonly states: Map<string, ModuleState>;

  constructor(states: Readonly<Record<string, ModuleState>>) {
    this.states = new Map(Object.entries(states));
  }

  /** Every known module, with its state. */
  get all(): [name: string, state: ModuleState][] {
    return [...this.states];
  }

  /** Returns a module's state. */
  state(name: string): ModuleState {
    return this.states.get(name) ?? "missing";
  }

  /** Whether a module is in the kernel, loaded or built in. */
  has(name: string): boolean {
    return ["loaded", "builtin"].includes(this.state(name));
  }

  /** Returns the loaded modules that depend on a module. */
  holders(name: string): string[] {
    return Object.keys(needs).filter((user) => needs[user]?.includes(name) && this.state(user) === "loaded");
  }

  /** modprobe: loads a module and those it depends on; returns 0 or the errno. */
  load(name: string): number {
    if (this.state(name) === "missing") return E.ENOENT;
    for (const needed of needs[name] ?? []) {
      const errno = this.load(needed);
      if (errno !== 0) return errno;
    }
    if (this.state(name) === "unloaded") this.states.set(name, "loaded");
    return 0;
  }

  /** rmmod: gives 0 or the errno. */
  unload(name: string): number {
    if (this.state(name) !== "loaded") return E.ENOENT;
    if (this.holders(name).length > 0) return E.EBUSY;
    this.states.set(name, "unloaded");
    return 0;
  }

  /** Sets a module's state, as the installation of another kernel does. */
  set(name: string, state: ModuleState): void {
    this.states.set(name, state);
  }
}
