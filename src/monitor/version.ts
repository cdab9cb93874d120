/** The version that nitro reports to the programs that start it or are clients of its monitors. */

/** The QEMU version whose interface nitro implements. Clients derive from it which commands and options exist. */
const QEMU_VERSION = { micro: 0, minor: 1, major: 11 } as const;

/** Returns QMP's VersionInfo. */
export function versionInfo(version: string) {
  return { qemu: QEMU_VERSION, package: `nitro ${version}` };
}

/** Returns HMP's first line, which scripts wait for. */
export function banner(): string {
  return `QEMU ${level()} monitor - type 'help' for more information\n`;
}

/**
 * Returns the first line of -version, which programs that start QEMU parse: they look for `QEMU emulator version X.Y.Z`
 * at its start, or take the fourth word. QEMU, too, has the version of the package in parentheses.
 */
export function emulatorVersion(version: string): string {
  return `QEMU emulator version ${level()} (nitro ${version})\n`;
}

function level(): string {
  const { major, minor, micro } = QEMU_VERSION;
  return `${major}.${minor}.${micro}`;
}
