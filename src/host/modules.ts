/** Kernel modules: whether one is loaded or could be, and how to install one that the kernel lacks. */
import { SyscallError } from "../sys/errors.ts";
import { pathExists, readSmallFile, readText } from "../sys/files.ts";
import type { System } from "../sys/system.ts";
import { asRoot, type Problem } from "./problem.ts";

/** `loadable`: modprobe would find it. `unknown`: the list of modules cannot be read. */
export type ModuleState = "loaded" | "loadable" | "missing" | "unknown";

/** Returns the state of a module. @param name with underscores. */
export function moduleState(system: System, name: string): ModuleState {
  if (pathExists(system, `/sys/module/${name}`)) return "loaded";
  const release = kernelRelease(system);
  if (release === undefined) return "unknown";
  const file = new RegExp(`/${name.replaceAll("_", "[_-]")}\\.ko\\b`);
  const [loadable, builtin] = ["dep", "builtin"].map((list) =>
    readIfPresent(system, `/lib/modules/${release}/modules.${list}`),
  );
  if (loadable === undefined && builtin === undefined) return "unknown";
  // A built-in module has a directory in /sys/module only if it has parameters or a version.
  if (builtin !== undefined && file.test(builtin)) return "loaded";
  return loadable !== undefined && file.test(loadable) ? "loadable" : "missing";
}

function readIfPresent(system: System, path: string): string | undefined {
  try {
    return readText(system, path);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return undefined;
  }
}

/** Returns the kernel's release, such as `6.1.141-155.222.amzn2023.x86_64`. */
export function kernelRelease(system: System): string | undefined {
  return readSmallFile(system, "/proc/sys/kernel/osrelease")?.trim();
}

/** The first Linux version with the driver, as major and minor number; arm64 followed in 5.16. */
const DRIVER_SINCE = process.arch === "arm64" ? [5, 16] : [5, 10];

/** Returns whether a kernel is older than the driver. A distribution may have backported it (Amazon Linux 2). */
export function isOlderThanDriver(release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const [since = 0, sinceMinor = 0] = DRIVER_SINCE;
  return major < since || (major === since && minor < sinceMinor);
}

/** Returns the problem of a missing module; the fix installs a package with it, or a newer kernel. */
export function missingModule(system: System, name: string): Problem {
  const release = kernelRelease(system) ?? "";
  const old = name === "nitro_enclaves" && isOlderThanDriver(release);
  const why = old
    ? `kernel ${release} is older than the driver (Linux ${DRIVER_SINCE.join(".")}) and has no module ${name}`
    : `kernel ${release} has no module ${name}`;
  const pkg = packageWithModules(system, release, old);
  if (pkg === undefined) {
    return {
      why,
      advice:
        "install the package with additional kernel modules (linux-modules-extra-aws, kernel-modules-extra), " +
        "or a newer kernel",
    };
  }
  if (!pkg.isKernel) return { why, command: asRoot(`${pkg.install} && modprobe ${name}`) };
  return {
    why,
    command: asRoot(pkg.install),
    advice:
      "the new kernel runs from the next reboot on, which also clears the CPU pool and the huge pages, " +
      "unless they are configured at boot",
  };
}

/** A distribution's package. */
interface ModulePackage {
  /** The shell command that installs it. */
  readonly install: string;
  /** Whether it is another kernel, which runs only after a reboot. */
  readonly isKernel: boolean;
}

/**
 * Installs with apt. On Ubuntu needrestart(1) would restart the services that use replaced libraries, and end enclaves
 * that run in one: NEEDRESTART_MODE=l makes it list them only. --no-remove keeps packages that are in the way.
 */
const APT_INSTALL = "env NEEDRESTART_MODE=l apt-get install -y --no-remove";

/** Chooses by os-release(5); undefined for an unknown distribution. @param newer whether a newer kernel is needed. */
function packageWithModules(system: System, release: string, newer: boolean): ModulePackage | undefined {
  const text = readSmallFile(system, "/etc/os-release") ?? readSmallFile(system, "/usr/lib/os-release") ?? "";
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  const [id, version] = [field("ID"), field("VERSION_ID")];
  const family = [id, ...field("ID_LIKE").split(" ")];
  const kernel = (install: string): ModulePackage => ({ install, isKernel: true });
  const modules = (install: string): ModulePackage => ({ install, isKernel: false });
  if (id === "amzn" && version === "2") return kernel("amazon-linux-extras install -y kernel-5.10");
  if (id === "amzn") return kernel("dnf upgrade -y kernel");
  if (["fedora", "rhel", "centos"].some((name) => family.includes(name))) {
    return newer
      ? kernel("dnf upgrade -y kernel")
      : modules(`dnf install -y kernel-modules-extra-${release}`);
  }
  if (id === "ubuntu") {
    return newer
      ? kernel(`${APT_INSTALL} linux-aws`)
      : modules(`${APT_INSTALL} linux-modules-extra-${release}`);
  }
  if (!family.includes("debian")) return undefined;
  return kernel(`${APT_INSTALL} linux-image-${process.arch === "arm64" ? "arm64" : "amd64"}`);
}
