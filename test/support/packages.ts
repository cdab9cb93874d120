/**
 * Debian packages for the tests, the demo and the bench. Programs are installed with apt; kernels, the arm64 libc and
 * Python modules are only unpacked, into a cache in the user's home directory, which outlives node_modules.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");
const CACHE = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "nitro-tests");

/** Programs, with the Debian packages that contain them. */
const PROGRAMS = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-system-aarch64": "qemu-system-arm",
  busybox: "busybox-static",
  "qemu-aarch64-static": "qemu-user-static",
  gcc: "gcc libc6-dev zlib1g-dev",
  as: "binutils",
  "aarch64-linux-gnu-as": "binutils-aarch64-linux-gnu",
  "eu-strip": "elfutils",
  patchelf: "patchelf",
  strace: "strace",
  setpriv: "util-linux",
  socat: "socat",
  openssl: "openssl",
  python3: "python3",
  zstd: "zstd",
  xz: "xz-utils",
  bzip2: "bzip2",
  groff: "groff-base",
  zsh: "zsh",
  fish: "fish",
} as const;
export type Program = keyof typeof PROGRAMS;

let listsAreFresh = false;

function run(command: readonly string[], cwd = ROOT): { ok: boolean; output: string } {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd, env, stdin: "ignore" });
  return { ok: exitCode === 0, output: stdout.toString() + stderr.toString() };
}

function must(command: readonly string[], cwd = ROOT): string {
  const { ok, output } = run(command, cwd);
  if (!ok) throw new Error(`${command.join(" ")} failed:\n${output}`);
  return output;
}

/** Prefixes a command with sudo if this user is not root. */
function asRoot(command: readonly string[]): readonly string[] {
  return process.getuid?.() === 0 ? command : ["sudo", "-n", ...command];
}

/** Runs apt-get update, once per process. */
function updateLists(): void {
  if (listsAreFresh) return;
  must(asRoot(["apt-get", "update", "-qq"]));
  listsAreFresh = true;
}

/** Installs the programs that are missing. Throws with the command to type if that is impossible. */
export function needPrograms(...programs: Program[]): void {
  const missing = programs.filter((program) => Bun.which(program) === null);
  if (missing.length === 0) return;
  const packages = missing.flatMap((program) => PROGRAMS[program].split(" "));
  console.log(`setup: apt-get install ${packages.join(" ")}`);
  try {
    updateLists();
    must(asRoot(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages]));
  } catch (error) {
    throw new Error(`setup: install these packages first: sudo apt-get install ${packages.join(" ")}`, {
      cause: error,
    });
  }
}

/** Creates a cache directory once. `fill` works in a temporary one that is renamed when it is complete. */
function once(name: string, fill: (directory: string) => void): string {
  const directory = join(CACHE, name);
  if (existsSync(directory)) return directory;
  const work = `${directory}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  fill(work);
  try {
    renameSync(work, directory);
  } catch (error) {
    // Another run has filled it in the meantime.
    if (!existsSync(directory)) throw error;
    rmSync(work, { recursive: true });
  }
  return directory;
}

/** Returns the path of the vmlinuz of Debian's cloud kernel for amd64. */
export function guestKernel(): string {
  return vmlinuzIn(
    once("guest-kernel", (work) => {
      console.log("setup: unpacking Debian's linux-image-cloud-amd64");
      updateLists();
      must(["apt-get", "download", "-qq", dependencyOf("linux-image-cloud-amd64", [])], work);
      unpack(work);
    }),
  );
}

/** Returns the kernel package that a metapackage depends on. */
function dependencyOf(name: string, options: readonly string[]): string {
  const depends = must(["apt-cache", ...options, "depends", name]);
  const found = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (found === undefined) throw new Error(`setup: no kernel package in: ${depends}`);
  return found.replace(/:\w+$/, "");
}

function vmlinuzIn(directory: string): string {
  const name = readdirSync(join(directory, "boot")).find((file) => file.startsWith("vmlinuz-"));
  if (name === undefined)
    throw new Error(`setup: no vmlinuz in ${directory}; remove the directory and try again`);
  return join(directory, "boot", name);
}

function unpack(directory: string, into = directory): void {
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".deb"))) {
    must(["dpkg-deb", "-x", join(directory, file), into]);
    rmSync(join(directory, file));
  }
}

/**
 * Returns a directory for PYTHONPATH with python3-qemu-qmp, QEMU's own QMP client. It is pure Python and comes from
 * Debian forky, with separate apt lists.
 */
export function qmpClient(): string {
  const directory = once("qemu-qmp", (work) => {
    console.log("setup: unpacking Debian's python3-qemu-qmp");
    const sources = join(work, "sources");
    mkdirSync(join(sources, "more"), { recursive: true });
    const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    writeFileSync(join(sources, "list"), `deb [signed-by=${keys}] ${debianMirror()} forky main\n`);
    const settings = [`Dir::Etc::SourceList=${sources}/list`, `Dir::Etc::SourceParts=${sources}/more`];
    unpackBy(settings, work, () => ["python3-qemu-qmp"]);
    rmSync(sources, { recursive: true });
  });
  return join(directory, "usr/lib/python3/dist-packages");
}

/**
 * Returns a directory for PYTHONPATH with QEMU's own qemu.machine (QEMUMachine) and qemu.qmp, from Debian's source package
 * of QEMU: no registry has qemu.machine.
 */
export function qemuMachine(): string {
  const directory = once("qemu-machine", (work) => {
    console.log("setup: unpacking python/qemu of Debian's QEMU source (40 MB)");
    const sources = join(work, "sources");
    mkdirSync(join(sources, "more"), { recursive: true });
    const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    writeFileSync(join(sources, "list"), `deb-src [signed-by=${keys}] ${debianMirror()} trixie main\n`);
    const settings = [`Dir::Etc::SourceList=${sources}/list`, `Dir::Etc::SourceParts=${sources}/more`];
    withOwnLists(settings, work, (options) => {
      must(["apt-get", "-qq", ...options, "source", "--download-only", "qemu"], work);
    });
    rmSync(sources, { recursive: true });
    const archive = readdirSync(work).find((name) => /^qemu_.*\.orig\.tar\.xz$/.test(name));
    if (archive === undefined) throw new Error("setup: Debian's source package of QEMU has no orig.tar.xz");
    must(["tar", "-xJf", archive, "--strip-components=1", "--wildcards", "*/python/qemu"], work);
    for (const name of readdirSync(work)) if (name.startsWith("qemu_")) rmSync(join(work, name));
  });
  return join(directory, "python");
}

/** Returns the URI of the Debian mirror that apt uses. */
function debianMirror(): string {
  updateLists(); // apt-get indextargets lists only sources whose lists it has
  const uris = must(["apt-get", "indextargets", "--format", "$(REPO_URI)"]).split("\n");
  const mirror = uris.find((uri) => /\/debian\/?$/.test(uri));
  if (mirror === undefined)
    throw new Error("setup: apt has no Debian mirror among its sources, which python3-qemu-qmp needs");
  return mirror;
}

/** Unpacks packages into a directory, with apt settings and package lists of their own. */
function unpackBy(
  settings: readonly string[],
  work: string,
  packages: (options: readonly string[]) => readonly string[],
): void {
  withOwnLists(settings, work, (options) => {
    must(["apt-get", "-qq", ...options, "download", ...packages(options)], work);
  });
  unpack(work);
}

/** Runs apt with settings and package lists of their own. */
function withOwnLists(
  settings: readonly string[],
  work: string,
  use: (options: readonly string[]) => void,
): void {
  const state = join(work, "apt");
  mkdirSync(join(state, "lists/partial"), { recursive: true });
  const options = [
    ...settings,
    `Dir::State=${state}`,
    "Dir::State::status=/dev/null",
    "Dir::Cache::pkgcache=",
    "Dir::Cache::srcpkgcache=",
    "Acquire::Languages=none",
    "APT::Sandbox::User=root",
  ].flatMap((setting) => ["-o", setting]);
  must(["apt-get", "-qq", ...options, "update"], work);
  use(options);
  rmSync(state, { recursive: true });
}

const ARM64 = ["APT::Architecture=arm64", "APT::Architectures::=arm64"];

/** Returns a directory with an arm64 glibc, for qemu-aarch64-static -L. */
export function arm64Sysroot(): string {
  return once("arm64-sysroot", (work) => {
    console.log("setup: unpacking Debian's libc6 for arm64");
    unpackBy(ARM64, work, () => ["libc6", "libgcc-s1"]);
  });
}

/** The files of an arm64 guest: Debian's cloud kernel and a static busybox. */
export interface Arm64Guest {
  readonly kernel: string;
  readonly busybox: string;
}

/** Returns the files of an arm64 guest. */
export function arm64Guest(): Arm64Guest {
  const directory = once("arm64-guest", (work) => {
    console.log("setup: unpacking Debian's linux-image-cloud-arm64 and busybox-static for arm64");
    unpackBy(ARM64, work, (options) => [dependencyOf("linux-image-cloud-arm64", options), "busybox-static"]);
  });
  const busybox = ["bin/busybox", "usr/bin/busybox"].map((name) => join(directory, name)).find(existsSync);
  if (busybox === undefined) throw new Error(`setup: no busybox in ${directory}; remove it and try again`);
  return { kernel: vmlinuzIn(directory), busybox };
}
