/** A progress bar on a terminal. */

/** A bar appears only after this time. */
const DELAY_MS = 500;
const REDRAW_MS = 100;
const BAR_COLUMNS = 40;

/** A progress bar; disposal erases it. */
export interface ProgressBar extends Disposable {
  /** Adds to the number of bytes expected. */
  expect(bytes: number): void;
  /** Reports bytes as done. */
  step(bytes: number): void;
  /** Erases the bar until the next step. */
  clear(): void;
}

/** Draws `app.eif [##### ] 50% of 900 MB` over the current line. */
export function progressBar(
  draw: (text: string) => void,
  title: string,
  now: () => number = () => performance.now(),
): ProgressBar {
  const start = now();
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
      if (time - start < DELAY_MS || time - drawn < REDRAW_MS) return;
      drawn = time;
      const fraction = total === 0 ? 0 : Math.min(1, done / total);
      const filled = Math.round(fraction * BAR_COLUMNS);
      const bar = "#".repeat(filled) + " ".repeat(BAR_COLUMNS - filled);
      const percent = String(Math.floor(fraction * 100)).padStart(3);
      draw(`\r${title} [${bar}] ${percent}% of ${Math.ceil(total / 1e6)} MB\x1b[K`);
    },
    clear,
    [Symbol.dispose]: clear,
  };
}
