/** The version that a monitor reports to its client. */

/** The QEMU version whose monitor interface nitro implements. Clients derive from it which commands exist. */
const QEMU_VERSION = { micro: 0, minor: 1, major: 11 } as const;

/** Returns QMP's VersionInfo. */
export function versionInfo(version: string) {
  return { qemu: QEMU_VERSION, package: `nitro ${version}` };
}

/** Returns HMP's first line, which scripts wait for. */
export function banner(): string {
  const { major, minor, micro } = QEMU_VERSION;
  return `QEMU ${major}.${minor}.${micro} monitor - type 'help' for more information\n`;
}
