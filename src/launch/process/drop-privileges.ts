/**
 * Changes of the process after the start: root directory, user, system call filter, daemon. What can be looked up or
 * opened is prepared before the launch, so that it fails early. If a change fails at the end, the launch fails;
 * nothing runs with more privileges than requested.
 */
import { groupIdsOf, parsePasswd } from "../../host/process/accounts.ts";
import { SyscallError, UserError } from "../../sys/errors.ts";
import { type Fd, openDirectory, readText } from "../../sys/files.ts";
import {
  becomeUser,
  changeRoot,
  changeToRoot,
  openThreadDirectory,
  setParentDeathSignal,
  setProcessName,
  threadStatuses,
  type UserIdentity,
} from "../../sys/process.ts";
import type { System } from "../../sys/system.ts";
import type { Account, ProcessOptions, Typed } from "../options.ts";
import type { DaemonStatus } from "./daemon.ts";

/** The prepared changes. */
export interface PreparedChanges extends Disposable {
  /** Applies them. Throws UserError. */
  readonly apply: () => void;
}

/** Looks up and opens what the changes need. Throws UserError that names the option. */
export async function prepareProcess(
  system: System,
  options: ProcessOptions,
  daemon: DaemonStatus | undefined,
): Promise<PreparedChanges> {
  using stack = new DisposableStack();
  const { user, chroot } = options;
  if (options.processName !== undefined) setProcessName(system, options.processName);
  const parent = options.exitWithParent ? system.libc.processCalls.getppid() : undefined;
  const identity = user === undefined ? undefined : identityOf(system, user);
  const root =
    chroot === undefined
      ? undefined
      : stack.use(withSubject(`-run-with chroot=${chroot.value}`, () => openDirectory(system, chroot.value)));
  // Opened before the root changes, because the new one may have no /proc.
  const threads =
    user === undefined ? undefined : stack.use(withSubject(user.typed, () => openThreadDirectory(system)));
  const sandbox = options.sandbox ? await import("./sandbox.ts") : undefined;
  const apply = () => {
    if (root !== undefined && chroot !== undefined) enterRoot(system, root, chroot);
    if (identity !== undefined && threads !== undefined && user !== undefined) {
      changeUser(system, identity, threads, user.typed);
    }
    threads?.close();
    root?.close(); // An open directory outside of the root would be a way out.
    if (parent !== undefined) exitWithParent(system, parent);
    if (daemon !== undefined) changeToRoot(system);
    sandbox?.enterSandbox(system);
    daemon?.started();
  };
  const owned = stack.move();
  return { apply, [Symbol.dispose]: () => owned.dispose() };
}

function withSubject<T>(subject: string, attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    throw error instanceof SyscallError ? new UserError(subject, error.why) : error;
  }
}

function identityOf(system: System, { value, typed }: Typed<Account>): UserIdentity {
  if ("gid" in value) return { ...value, groups: [value.gid] };
  const users = parsePasswd(withSubject(`${typed}: /etc/passwd`, () => readText(system, "/etc/passwd")));
  const user = users.find((each) => ("name" in value ? each.name === value.name : each.uid === value.uid));
  if (user === undefined) {
    const requested = "name" in value ? value.name : String(value.uid);
    const hint =
      "name" in value
        ? "getent passwd lists the users"
        : `getent passwd lists the users; user=${requested}:GID needs no entry`;
    throw new UserError(typed, `User "${requested}" doesn't exist (and is not <uid>:<gid>)`, hint);
  }
  const groups = groupIdsOf(
    user,
    withSubject(`${typed}: /etc/group`, () => readText(system, "/etc/group")),
  );
  return { uid: user.uid, gid: user.gid, groups };
}

function enterRoot(system: System, root: Fd, { value, typed }: Typed<string>): void {
  try {
    changeRoot(system, root, value);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(typed, `chroot failed (${error.call}: ${error.why})`, "run nitro as root");
  }
}

/** Changes the user of all threads. libc changes only the threads that it created, so each thread is checked. */
function changeUser(system: System, identity: UserIdentity, threads: Fd, typed: string): void {
  try {
    becomeUser(system, identity);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(typed, `cannot change the user (${error.call}: ${error.why})`, "run nitro as root");
  }
  const statuses = withSubject(typed, () => threadStatuses(system, threads));
  if (statuses.length === 0 || !statuses.every((status) => hasDropped(status, identity))) {
    throw new UserError(typed, "dropping privileges failed: a thread of the launcher still has them");
  }
}

/** Whether a thread's status (proc_pid_status(5)) shows this identity, and no capability unless it is root. */
export function hasDropped(status: string, { uid, gid, groups }: UserIdentity): boolean {
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(status)?.[1];
  const ids = (name: string) =>
    (field(name) ?? "")
      .split(/\s+/)
      .filter((id) => id !== "")
      .map(Number);
  const all = (name: string, id: number) => ids(name).length === 4 && ids(name).every((each) => each === id);
  const actual = ids("Groups");
  const sameGroups = actual.length === groups.length && groups.every((group) => actual.includes(group));
  const isEmpty = (name: string) => /^0+$/.test(field(name) ?? "");
  return (
    all("Uid", uid) &&
    all("Gid", gid) &&
    sameGroups &&
    (uid === 0 || (isEmpty("CapPrm") && isEmpty("CapEff")))
  );
}

function exitWithParent(system: System, expected: number): void {
  if (setParentDeathSignal(system) !== expected) {
    throw new UserError(
      "-run-with exit-with-parent=on",
      "the parent process exited before the enclave started",
    );
  }
}
