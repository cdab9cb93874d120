/** A bar on a terminal for work that takes its time. */

/** Work of less time than this has no bar. */
const PATIENCE_MS = 500;
const REDRAW_MS = 100;
const BAR_COLUMNS = 40;

/** A bar, told of work as it goes on. */
export interface ProgressBar extends Disposable {
  /** Says how many more bytes there will be. */
  expect(bytes: number): void;
  /** Called after each piece, with its size in bytes. */
  step(bytes: number): void;
  /** Takes the bar away until the next step. */
  clear(): void;
}

/** A line that is drawn over: `app.eif [#####     ]  50% of 900 MB`. Its end leaves the line empty. */
export function progressBar(
  draw: (text: string) => void,
  title: string,
  now: () => number = () => performance.now(),
): ProgressBar {
  const begun = now();
  let [done, total, drawn] = [0, 0, 0];
  const clear = () => {
    if (drawn !== 0) draw("\r\x1b[K");
    drawn = 0;
  };
  return {
    expect(bytes) {
      total += bytes;
    },
    step(bytes) {
      done += bytes;
      const time = now();
      if (time - begun < PATIENCE_MS || time - drawn < REDRAW_MS) return;
      drawn = time;
      const part = total === 0 ? 0 : Math.min(1, done / total);
      const filled = Math.round(part * BAR_COLUMNS);
      const bar = "#".repeat(filled) + " ".repeat(BAR_COLUMNS - filled);
      const percent = String(Math.floor(part * 100)).padStart(3);
      draw(`\r${title} [${bar}] ${percent}% of ${Math.ceil(total / 1e6)} MB\x1b[K`);
    },
    clear,
    [Symbol.dispose]: clear,
  };
}
