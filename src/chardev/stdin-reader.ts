/** Standard input for a monitor or mux on stdio. The terminal is in raw mode until disposal. */

import { STDIN } from "../sys/files.ts";
import type { Waiter } from "../sys/poll.ts";
import type { System } from "../sys/system.ts";
import { rawTerminal } from "../sys/terminal.ts";
import type { Frontend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";

/** Reads standard input for a frontend. */
export interface StdinReader extends Disposable {
  addWaiters(list: Waiter[]): void;
  /** Called after SIGCONT: makes the terminal raw again. */
  processContinued(): void;
}

/**
 * Starts to read standard input. End of file (/dev/null, or a pipe whose writer has exited) only stops the reading; the
 * frontend stays open.
 * @param keepSignals whether Ctrl-C still raises SIGINT; otherwise it is passed on like any other key, from the moment
 * that keys are read. Until then, while the launch is under way, it raises SIGINT in any case.
 */
export function openStdin(system: System, frontend: Frontend, keepSignals: boolean): StdinReader {
  let isServed = false;
  const terminal = rawTerminal(system, STDIN, () => keepSignals || !isServed);
  let fd = STDIN;
  const reader = fdReader(system, {
    get fd() {
      return fd;
    },
    frontend,
    onEnd() {
      fd = -1;
    },
  });
  return {
    addWaiters: (list) => {
      if (!isServed) {
        isServed = true;
        if (!keepSignals) terminal?.again();
      }
      if (fd !== -1) list.push(reader);
    },
    processContinued: () => terminal?.again(),
    [Symbol.dispose]: () => terminal?.[Symbol.dispose](),
  };
}
