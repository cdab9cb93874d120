/** Kernel modules: which are there, which are loaded, and what modprobe(8) and rmmod(8) make of it. */
import { E } from "../sys/errno.ts";
import type { ModuleState } from "./host.ts";

/** What a module is built on. */
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

  /** Every module that has been named, with its state. */
  get all(): [name: string, state: ModuleState][] {
    return [...this.states];
  }

  /** What a module is. */
  state(name: string): ModuleState {
    return this.states.get(name) ?? "missing";
  }

  /** Whether a module does its work. */
  has(name: string): boolean {
    return ["loaded", "builtin"].includes(this.state(name));
  }

  /** The loaded modules that are built on one. */
  holders(name: string): string[] {
    return Object.keys(needs).filter((user) => needs[user]?.includes(name) && this.state(user) === "loaded");
  }

  /** modprobe: loads a module and what it is built on; gives 0 or the errno. */
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

  /** Gives a module a state from outside, as the install of another kernel does. */
  set(name: string, state: ModuleState): void {
    this.states.set(name, state);
  }
}
