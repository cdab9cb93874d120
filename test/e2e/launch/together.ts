/**
 * A shell script that starts several launchers of one parent instance at the same time, waits until each has counted its
 * own enclave's heartbeat or has exited, and then stops them.
 */
import { lines, shellWords, type Workplace } from "./nitro.ts";

/** The result of one launcher: its exit status (128 + n for a signal), and whether its enclave's heartbeat came. */
export interface LaunchOutcome {
  readonly status: number;
  readonly counted: boolean;
}

const COUNTED = "received from the enclave, CID";

/**
 * Returns the script. @param launches the arguments of each launcher, @param more the number of rounds, and commands to
 * run before the launchers start and once they have started.
 */
export function together(
  here: Workplace,
  launches: readonly (readonly string[])[],
  more: { rounds?: number; before?: string; meanwhile?: string } = {},
): string[] {
  const directory = here.path(`together-${crypto.randomUUID()}`);
  const start = launches.map((args, i) => {
    const trace = shellWords(["-d", "vsock", "-D", `${directory}/trace${i}`]);
    return `( : < gate; exec ${shellWords(args)} ${trace} ) & p${i}=$!`;
  });
  const each = (what: (i: number) => string) => launches.map((_, i) => what(i));
  const script = [
    'gone() { case "$(cat /proc/$1/stat 2>/dev/null)" in *") Z"*|"") true;; *) false;; esac; }',
    `counted() { grep -qs "${COUNTED}" trace$1; }`,
    'awaited() { until counted "$2" || gone "$1"; do sleep 0.02; done; }',
    'report() { wait "$1"; status=$?; if counted "$2"; then echo "$status counted"; else echo "$status"; fi; }',
    `mkdir -m 777 ${directory}; cd ${directory}; mkfifo gate`,
    more.before ?? ":",
    `round=0; while [ $round -lt ${more.rounds ?? 1} ]; do round=$((round + 1)); rm -f trace*`,
    ...start,
    "sleep 0.05", // until all wait at the gate; a later one finds it open
    "exec 9> gate",
    more.meanwhile ?? ":",
    ...each((i) => `awaited $p${i} ${i}`),
    `kill ${each((i) => `$p${i}`).join(" ")} 2>/dev/null`,
    ...each((i) => `report $p${i} ${i}`),
    "exec 9>&-",
    "done",
  ].join("\n");
  return ["sh", "-c", script];
}

/** Parses the script's output. */
export function outcomes(stdout: string): LaunchOutcome[] {
  return lines(stdout)
    .filter((line) => /^\d+( counted)?$/.test(line))
    .map((line) => ({ status: Number.parseInt(line, 10), counted: line.endsWith("counted") }));
}
