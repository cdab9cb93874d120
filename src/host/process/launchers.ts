/**
 * How messages name the launcher of an enclave, so that its owner recognises the enclave: by its name and CID, as far
 * as they are known, next to the process id.
 */

/** A process that launches an enclave. */
export interface NamedLauncher {
  readonly pid: number;
  /** The name of its program. */
  readonly program: string;
  /** The enclave's name, if the command line has one. */
  readonly name: string | undefined;
  /** The enclave's CID; undefined if it is not known. */
  readonly cid: number | undefined;
}

/** Describes a process by its command line. @param publishedCid the CID that it publishes, if it does. */
export function launcherOf(
  pid: number,
  args: readonly string[],
  publishedCid: number | undefined,
): NamedLauncher {
  const program = args[0]?.split("/").at(-1) || "a process";
  return { pid, program, name: nameFrom(args), cid: publishedCid ?? cidFrom(args) };
}

/** Formats a launcher: `nitro (pid 812, CID 17)`, or with the enclave's name `web (nitro, pid 812, CID 17)`. */
export function launcherText(
  { pid, program, name, cid }: NamedLauncher,
  details: readonly string[] = [],
): string {
  const parts = [
    ...(name === undefined ? [] : [program]),
    `pid ${pid}`,
    ...(cid === undefined ? [] : [`CID ${cid}`]),
    ...details,
  ];
  return `${name ?? program} (${parts.join(", ")})`;
}

/** QEMU's -name, `web` or `guest=web,process=w`; nitro-cli's --enclave-name. */
function nameFrom(args: readonly string[]): string | undefined {
  const value = lastValue(args, ["name", "enclave-name"]);
  if (value === undefined) return undefined;
  const guest = /(?:^|,)guest=([^,]+)/.exec(value)?.[1] ?? /^[^,=]+(?=,|$)/.exec(value)?.[0];
  return guest === "" ? undefined : guest;
}

/** The CID that was asked for: nitro's and QEMU's -accel enclave-cid=, nitro-cli's --enclave-cid; 0 asks for any. */
function cidFrom(args: readonly string[]): number | undefined {
  const accel = /(?:^|,)enclave-cid=(\d{1,10})(?:,|$)/.exec(lastValue(args, ["accel"]) ?? "")?.[1];
  const cid = Number(accel ?? lastValue(args, ["enclave-cid"]));
  return Number.isInteger(cid) && cid > 0 ? cid : undefined;
}

/** Returns the argument after the last of these options, written with one dash or two. */
export function lastValue(args: readonly string[], options: readonly string[]): string | undefined {
  const at = args.findLastIndex((arg) => options.includes(arg.replace(/^--?(?=[^-])/, "")) && arg[0] === "-");
  return at === -1 ? undefined : (args[at + 1] ?? "");
}
