/** Standard input, for a monitor or a mux on stdio: the terminal is raw while it is read, and put back afterwards. */

import type { System } from "../sys/system.ts";
import { rawTerminal } from "../sys/terminal.ts";
import type { Frontend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";
import type { Keyboard } from "./stdio.ts";

const STDIN = 0;

/**
 * Begins to read standard input. Its end (as of /dev/null, or a pipe whose writer is gone) is no news: nothing more is
 * read, and nothing else happens.
 * @param keepSignals Ctrl-C still is a signal; else it is a key like others.
 */
export function keyboard(system: System, frontend: Frontend, keepSignals: boolean): Keyboard {
  const terminal = rawTerminal(system, STDIN, keepSignals);
  let fd = STDIN;
  const input = fdReader(system, {
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
      if (fd !== -1) list.push(input);
    },
    processContinued: () => terminal?.again(),
    [Symbol.dispose]: () => terminal?.[Symbol.dispose](),
  };
}
