/** What HMP and QMP monitors have in common. */
import type { Waiter } from "../sys/poll.ts";
import type { Arguments } from "./commands/command.ts";

/** An HMP or QMP monitor. */
export interface Monitor {
  /** Sends an event if the client has negotiated capabilities; HMP ignores events. */
  emitEvent(event: string, data: Arguments | undefined, atMicroseconds: number): void;
  /** Writes as much of the queued output as fits without blocking. */
  flush(): void;
  addWaiters(list: Waiter[]): void;
}
