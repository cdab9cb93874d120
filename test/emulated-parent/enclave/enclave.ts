/** An enclave that has started: its console, its heartbeat, its exit. It runs a model or a booted kernel. */
import { EnclaveConsole } from "../console.ts";
import type { GuestMemory } from "../driver/guest-memory.ts";
import type { ImageReport } from "../driver/image.ts";
import type { EnclaveBehaviour } from "../scenario.ts";
import type { World } from "../world.ts";
import { startBoot } from "./boot.ts";
import { connectSilently, sendHeartbeat } from "./heartbeat.ts";
import { startModel } from "./model.ts";

/** The setup of an enclave. */
export interface EnclaveSetup {
  cid: number;
  debug: boolean;
  vcpus: number;
  memory: GuestMemory;
  loadOffset: number;
  image: ImageReport;
}

const silentPeerCid = 1000; // far from the CIDs of enclaves

/** A running enclave. */
export class Enclave {
  readonly console: EnclaveConsole;
  private running = true;
  private consoleOpen = false;
  private readonly undo: (() => void)[] = [];

  constructor(
    readonly world: World,
    readonly setup: EnclaveSetup,
    readonly behaviour: EnclaveBehaviour,
    /** Called when the enclave exits by itself. */
    private readonly exited: () => void,
  ) {
    const { consoleStallAfterBytes, consoleStallMs } = behaviour;
    const stall = { afterBytes: consoleStallAfterBytes, ms: consoleStallMs };
    this.console = new EnclaveConsole(world.loop, world.trace, setup.cid, stall);
    world.ledger.consoles.push(this.console);
  }

  /** Whether the hypervisor's console port of this enclave accepts connections. */
  get acceptsConsole(): boolean {
    return this.running && this.consoleOpen && this.setup.debug;
  }

  /** Starts the model or the emulator. */
  start(): void {
    const { behaviour } = this;
    this.later(behaviour.consoleDelayMs, () => {
      this.consoleOpen = true;
    });
    for (let peer = 0; peer < behaviour.silentPeers; peer++)
      connectSilently(this.world, silentPeerCid + peer);
    for (const { cid, byte, afterMs } of behaviour.foreignHeartbeats) {
      this.later(afterMs, () => sendHeartbeat(this.world, cid, byte, () => undefined));
    }
    if (behaviour.liveMs !== null) this.later(behaviour.liveMs, () => this.exit("liveMs elapsed"));
    if (behaviour.kind === "boot") startBoot(this);
    else startModel(this);
  }

  /** Calls an action at once (0) or later, unless the enclave has exited by then. */
  later(delayMs: number, action: () => void): void {
    if (delayMs === 0) action();
    else this.undo.push(this.world.loop.after(delayMs, action));
  }

  /** Calls an action when the enclave exits. */
  atEnd(action: () => void): void {
    this.undo.push(action);
  }

  /** The init sends its heartbeat. */
  beat(): void {
    const { heartbeatByte, noHeartbeatFatal } = this.behaviour;
    sendHeartbeat(this.world, this.setup.cid, heartbeatByte, (outcome) => {
      if (outcome !== "answered" && noHeartbeatFatal) this.exit(`heartbeat: ${outcome}`);
    });
  }

  /** The enclave exits by itself: the launcher sees POLLHUP. */
  exit(reason: string): void {
    if (!this.running) return;
    this.world.trace.add("enclave exited", { cid: this.setup.cid, reason });
    this.end();
    this.exited();
  }

  /** The launcher stops the enclave. */
  stop(): void {
    if (this.running) this.end();
  }

  private end(): void {
    this.running = false;
    for (const action of this.undo) action();
    this.console.end();
  }
}
