/** Kernel modules: whether they are there, and how a kernel that lacks them gets them. */
import { SyscallError } from "../sys/errors.ts";
import { pathExists, readSmallFile, readText } from "../sys/files.ts";
import type { System } from "../sys/system.ts";
import { asRoot, type Problem } from "./problem.ts";

/** Whether a module is in the kernel, could be loaded, is not there, or nothing tells. */
export type ModuleState = "loaded" | "loadable" | "missing" | "unknown";

/** The state of a module by its name with underscores. */
export function moduleState(system: System, name: string): ModuleState {
  if (pathExists(system, `/sys/module/${name}`)) return "loaded";
  const release = kernelRelease(system);
  if (release === undefined) return "unknown";
  const file = new RegExp(`/${name.replaceAll("_", "[_-]")}\\.ko\\b`);
  const lists = ["dep", "builtin"].map((list) => textOf(system, `/lib/modules/${release}/modules.${list}`));
  if (lists.every((list) => list === undefined)) return "unknown";
  // A builtin one has a directory in /sys/module only where it has parameters or a version.
  if (lists[1] !== undefined && file.test(lists[1])) return "loaded";
  return lists[0] !== undefined && file.test(lists[0]) ? "loadable" : "missing";
}

function textOf(system: System, path: string): string | undefined {
  try {
    return readText(system, path);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return undefined;
  }
}

/** The kernel's release, such as `6.1.141-155.222.amzn2023.x86_64`. */
export function kernelRelease(system: System): string | undefined {
  return readSmallFile(system, "/proc/sys/kernel/osrelease")?.trim();
}

/** Where the driver came into the kernel, as major and minor number: on arm64 with Linux 5.16. */
const DRIVER_SINCE = process.arch === "arm64" ? [5, 16] : [5, 10];

/** Whether a kernel is older than the driver; a distribution may have brought it to an older one (Amazon Linux 2). */
export function isOlderThanDriver(release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const [since = 0, sinceMinor = 0] = DRIVER_SINCE;
  return major < since || (major === since && minor < sinceMinor);
}

/** Why a module is not there, and what brings it: a package, or for a kernel that is too old another kernel. */
export function missingModule(system: System, name: string): Problem {
  const release = kernelRelease(system) ?? "";
  const old = name === "nitro_enclaves" && isOlderThanDriver(release);
  const why = old
    ? `the kernel ${release} is older than the driver (Linux ${DRIVER_SINCE.join(".")}), and has no module ${name}`
    : `the kernel ${release} has no module ${name}`;
  const bringing = packageOf(system, release, old);
  if (bringing === undefined) {
    return {
      why,
      advice:
        "install the package with more of the kernel's modules (linux-modules-extra-aws, kernel-modules-extra), " +
        "or another kernel",
    };
  }
  const { install, kernel } = bringing;
  return {
    why,
    command: asRoot(`${install} && ${kernel ? "reboot" : `modprobe ${name}`}`),
    ...(kernel
      ? { advice: "the reboot takes the pool and the huge pages, unless something makes them at boot" }
      : {}),
  };
}

/** A distribution's package, and whether it is another kernel, which runs from the next boot on. */
interface Bringing {
  readonly install: string;
  readonly kernel: boolean;
}

/** By os-release(5), where more of a kernel's modules are, or a newer kernel; undefined for unknown distributions. */
function packageOf(system: System, release: string, newer: boolean): Bringing | undefined {
  const text = readSmallFile(system, "/etc/os-release") ?? readSmallFile(system, "/usr/lib/os-release") ?? "";
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  const [id, version] = [field("ID"), field("VERSION_ID")];
  const family = [id, ...field("ID_LIKE").split(" ")];
  const aKernel = (install: string): Bringing => ({ install, kernel: true });
  const modules = (install: string): Bringing => ({ install, kernel: false });
  if (id === "amzn" && version === "2") return aKernel("amazon-linux-extras install -y kernel-5.10");
  if (id === "amzn") return aKernel("dnf upgrade -y kernel");
  if (family.some((each) => ["fedora", "rhel", "centos"].includes(each))) {
    return newer
      ? aKernel("dnf upgrade -y kernel")
      : modules(`dnf install -y kernel-modules-extra-${release}`);
  }
  if (id === "ubuntu") {
    return newer
      ? aKernel("apt-get install -y linux-aws")
      : modules(`apt-get install -y linux-modules-extra-${release}`);
  }
  if (!family.includes("debian")) return undefined;
  return aKernel(`apt-get install -y linux-image-${process.arch === "arm64" ? "arm64" : "amd64"}`);
}
