/** The files that describe the parent instance, computed from the scenario when they are opened. */
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { formatCpuList, parseCpuList } from "./driver/cpu-list.ts";
import { DEVICE_MINOR, MISC_MAJOR } from "./files/driver-files.ts";
import { refusalOf } from "./files/permission.ts";
import type { HugePages } from "./huge-pages.ts";
import type { Notification } from "./notification.ts";
import { type PathStatus, S_IFCHR, S_IFDIR, S_IFREG } from "./path-status.ts";
import type { Scenario } from "./scenario.ts";
import { E } from "./sys/errno.ts";
import { closeFd, makeMemfd } from "./sys/files.ts";
import { HUGE_PAGE, O } from "./sys/kernel.ts";
import type { Instance } from "./topology/instance.ts";

/** A file's content; null if it does not exist. */
type Content = () => string | null;

/** Returns the files by path; every other file is the machine's own. Add rows here for further files. */
export function emulatedFiles(scenario: Scenario, hugePages: HugePages): Map<string, Content> {
  const files = new Map<string, Content>();
  const cores = Math.max(1, Math.floor(scenario.cpus / scenario.threadsPerCore));
  const all = Array.from({ length: scenario.cpus }, (_, cpu) => cpu);
  const pool = parseCpuList(scenario.pool);
  const cpuDirectory = "/sys/devices/system/cpu";
  const line = (cpus: number[]) => () => `${formatCpuList(cpus)}\n`;
  files.set("/sys/module/nitro_enclaves/parameters/ne_cpus", () =>
    scenario.device ? `${scenario.pool}\n` : null,
  );
  files.set(
    `${cpuDirectory}/cpu0/topology/thread_siblings_list`,
    line(all.filter((cpu) => cpu % cores === 0)),
  );
  files.set(`${cpuDirectory}/online`, line(all.filter((cpu) => !pool.includes(cpu))));
  files.set(`${cpuDirectory}/offline`, line(pool));
  files.set(`${cpuDirectory}/present`, line(all));
  if (hugePages.standIn) addHugePageFiles(files, hugePages);
  for (const [path, content] of Object.entries(scenario.files)) files.set(path, () => content);
  return files;
}

function addHugePageFiles(files: Map<string, Content>, hugePages: HugePages): void {
  const directories = ["/sys/kernel/mm/hugepages", "/sys/devices/system/node/node0/hugepages"];
  for (const pageBytes of [HUGE_PAGE, 1024 ** 3]) {
    for (const directory of directories) {
      const base = `${directory}/hugepages-${pageBytes / 1024}kB`;
      files.set(`${base}/nr_hugepages`, () => `${hugePages.account(pageBytes).total}\n`);
      files.set(`${base}/free_hugepages`, () => `${hugePages.account(pageBytes).free}\n`);
      files.set(`${base}/resv_hugepages`, () => "0\n"); // the stand-in counts a reserved page as used
      files.set(`${base}/surplus_hugepages`, () => "0\n");
    }
  }
  files.set("/proc/sys/vm/nr_hugepages", () => `${hugePages.account(HUGE_PAGE).total}\n`);
  files.set("/proc/meminfo", () => {
    const { total, free } = hugePages.account(HUGE_PAGE);
    return readFileSync("/proc/meminfo", "latin1")
      .replace(/^(HugePages_Total:\s*)\d+/m, `$1${total}`)
      .replace(/^(HugePages_Free:\s*)\d+/m, `$1${free}`);
  });
}

/** Answers the open of an emulated file. */
export function openEmulated(request: Notification, content: Content, flags: number): void {
  const text = content();
  if (text === null) return request.fail(E.ENOENT);
  if ((flags & O.ACCMODE) !== 0) return request.fail(E.EACCES); // these files are read-only
  const fd = makeMemfd("emulated", Buffer.from(text));
  request.replyWithFd(fd, (flags & O.CLOEXEC) !== 0);
  closeFd(fd);
}

/** Returns the directories of emulated files that this machine lacks. They have a status, but cannot be listed. */
export function emulatedDirectories(files: ReadonlyMap<string, Content>): Set<string> {
  const directories = new Set<string>();
  for (const path of files.keys()) {
    for (let directory = dirname(path); !existsSync(directory); directory = dirname(directory))
      directories.add(directory);
  }
  return directories;
}

/** Returns the status of such a directory; undefined if none of its files exists. */
export function directoryStatus(
  files: ReadonlyMap<string, Content>,
  directory: string,
): PathStatus | undefined {
  const lives = [...files].some(([path, content]) => path.startsWith(`${directory}/`) && content() !== null);
  return lives ? { mode: S_IFDIR | 0o755, uid: 0, gid: 0, bytes: 0, device: [0, 0] } : undefined;
}

/** Returns the status of an emulated file; undefined if it does not exist. */
export function fileStatus(content: Content): PathStatus | undefined {
  const text = content();
  if (text === null) return undefined;
  return { mode: S_IFREG | 0o444, uid: 0, gid: 0, bytes: Buffer.byteLength(text), device: [0, 0] };
}

/** Returns the status of the device; undefined if it does not exist. */
export function deviceStatus(instance: Instance): PathStatus | undefined {
  if (!instance.hasDevice) return undefined;
  const { deviceMode, deviceUid, deviceGid } = instance;
  const device: [number, number] = [MISC_MAJOR, DEVICE_MINOR];
  return { mode: S_IFCHR | deviceMode, uid: deviceUid, gid: deviceGid, bytes: 0, device };
}

/** Returns the errno if a process may not access the device in this way (4 read, 2 write, 1 execute); 0 if it may. */
export function deviceRefusal(instance: Instance, pid: number, needed: number): number {
  if (!instance.hasDevice) return E.ENOENT;
  const { deviceMode, deviceUid, deviceGid } = instance;
  return refusalOf({ mode: deviceMode, uid: deviceUid, gid: deviceGid }, pid, needed);
}
