/** How this program names itself to a monitor's client. */

/** QEMU's version whose interface this one has; clients choose by it what they may ask for. */
const INTERFACE_LEVEL = { micro: 0, minor: 1, major: 11 } as const;

/** QMP's VersionInfo. */
export function qemuVersion(version: string) {
  return { qemu: INTERFACE_LEVEL, package: `nitro ${version}` };
}

/** The first line of HMP, which scripts wait for. */
export function banner(): string {
  const { major, minor, micro } = INTERFACE_LEVEL;
  return `QEMU ${major}.${minor}.${micro} monitor - type 'help' for more information\n`;
}
