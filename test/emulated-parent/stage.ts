/**
 * The stage between the supervisor and the command. It installs the filter on this thread, sends the listener's
 * descriptor number to the supervisor, enters its own network namespace, changes to the command's user and executes the
 * command. With an empty filter the program is only tied to the supervisor: it is killed when the supervisor exits.
 *
 *    bun stage.ts FILTER-IN-BASE64 UID:GID[:G2,G3]|- own|machine -- COMMAND ARG…   (descriptor 3 receives the number)
 */
import { accessSync, constants, statSync } from "node:fs";
import { AF, CLONE_NEWNET, INTERFACE, NR, PR, SECCOMP, SOCK } from "./sys/kernel.ts";
import {
  addressOf,
  call,
  cString,
  cStrings,
  fixedBytes,
  mustCall,
  resetSignal,
  SyscallError,
} from "./sys/libc.ts";
import { givenEnvironment } from "./sys/processes.ts";

const statusFd = 3;
const F_SETFD = 2; // asm-generic/fcntl.h
const FD_CLOEXEC = 1;

/** Returns the file that a shell would run for this command name. */
function programPath(word: string): string {
  if (word.includes("/")) return word;
  const { PATH = "/usr/bin:/bin" } = process.env;
  for (const directory of PATH.split(":")) {
    const candidate = `${directory}/${word}`;
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return candidate;
    } catch {
      // The next directory may have it.
    }
  }
  return word;
}

/** Installs the filter for this thread alone; returns the listener's descriptor. */
function installFilter(filter: Uint8Array): number {
  const program = fixedBytes(16); // struct sock_fprog (linux/filter.h): u16 length, then the address at 8
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, BigInt(addressOf(filter)), true);
  const flags = SECCOMP.FLAG_NEW_LISTENER | SECCOMP.FLAG_WAIT_KILLABLE_RECV;
  return mustCall("seccomp", NR.seccomp, SECCOMP.SET_MODE_FILTER, flags, addressOf(program));
}

/**
 * Abstract socket names, by which launchers find each other, belong to a network namespace: this command must not meet
 * the launchers of other tests on this machine. Where a new namespace is not permitted (a container), the machine's is
 * used.
 */
function leaveNetwork(): void {
  if (call(NR.unshare, CLONE_NEWNET) < 0) return;
  const request = fixedBytes(40); // struct ifreq (linux/if.h): the name, then at 16 the flags
  request.set(Buffer.from("lo"));
  const socket = mustCall("socket", NR.socket, AF.INET, SOCK.DGRAM, 0);
  mustCall("SIOCGIFFLAGS", NR.ioctl, socket, INTERFACE.SIOCGIFFLAGS, addressOf(request));
  request[16] = (request[16] ?? 0) | INTERFACE.IFF_UP;
  mustCall("SIOCSIFFLAGS", NR.ioctl, socket, INTERFACE.SIOCSIFFLAGS, addressOf(request));
  call(NR.close, socket);
}

function becomeUser(user: string): void {
  const [uid = "0", gid = "0", more = ""] = user.split(":");
  const groups = more === "" ? [] : more.split(",").map(Number);
  const table = new Uint32Array(new ArrayBuffer(4 * Math.max(1, groups.length)));
  table.set(groups);
  mustCall("setgroups", NR.setgroups, groups.length, addressOf(table));
  mustCall("setgid", NR.setgid, Number(gid));
  mustCall("setuid", NR.setuid, Number(uid));
}

function restoreSignals(): void {
  const nothing = fixedBytes(8);
  const SIG_SETMASK = 2; // asm-generic/signal-defs.h
  call(NR.rt_sigprocmask, SIG_SETMASK, addressOf(nothing), 0, 8);
  for (const ignoredByBun of [13, 25]) resetSignal(ignoredByBun); // SIGPIPE and SIGXFSZ (signal(7))
}

/** bun marks inherited descriptors as close-on-exec; the emulator needs its files. */
function keepDescriptors(): void {
  for (const fd of [4, 5]) call(NR.fcntl, fd, F_SETFD, 0);
}

/** Sends a text to the supervisor with a call that is never trapped: the supervisor does not answer calls yet. */
function report(text: string): void {
  const bytes = cString(text);
  const vector = new BigUint64Array([BigInt(addressOf(bytes)), BigInt(bytes.length - 1)]);
  mustCall("pwritev2", NR.pwritev2, statusFd, addressOf(vector), 1, -1, -1, 0);
}

function main(argv: string[]): number {
  const separator = argv.indexOf("--");
  const [filterText = "", user = "-", network = "own"] = argv;
  const command = argv.slice(separator + 1);
  const filter = fixedBytes(Buffer.from(filterText, "base64").length);
  filter.set(Buffer.from(filterText, "base64"));
  const path = cString(programPath(command[0] ?? ""));
  const args = cStrings(command);
  const environment = cStrings(givenEnvironment());
  const argsAt = addressOf(args.table);
  const environmentAt = addressOf(environment.table);
  const SIGKILL = 9;
  try {
    restoreSignals();
    if (network === "own") leaveNetwork();
    // A process without privileges may install a filter only with no_new_privs. Root's command keeps its set-uid
    // helpers.
    if (process.geteuid?.() !== 0) mustCall("prctl", NR.prctl, PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (filter.length === 0) keepDescriptors();
    if (filter.length > 0) report(`${installFilter(filter)}\n`);
    if (user !== "-") becomeUser(user);
    mustCall("prctl", NR.prctl, PR.SET_PDEATHSIG, SIGKILL, 0, 0, 0); // a change of user would have cleared it
    call(NR.fcntl, statusFd, F_SETFD, FD_CLOEXEC);
    mustCall("execve", NR.execve, addressOf(path), argsAt, environmentAt);
  } catch (error) {
    const reason = error instanceof SyscallError ? error.message : String(error);
    console.error(`parent: ${command[0]}: ${reason}`);
  }
  return 127; // the status of a shell for a command that cannot be run
}

process.exit(main(process.argv.slice(2)));
