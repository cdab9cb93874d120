/** Options about the launcher's own process, and how long it runs. */
import * as z from "zod/mini";
import type { Account, LaunchOptions, ProcessOptions } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { NOGRAPHIC } from "./monitor.ts";
import { NAME } from "./name.ts";
import type { ParsedOptions } from "./parsed-options.ts";
import { always, filePath, onOff, rule, text } from "./values.ts";

/** -daemonize */
export const DAEMONIZE = {
  name: "daemonize",
  help: "return once the enclave has started, and stay with it in the background",
} as const;

/** -pidfile */
export const PIDFILE = {
  name: "pidfile",
  argument: "FILE",
  help: "write the process id to FILE; it is removed at the end",
  schema: filePath,
} as const;

/** -S */
export const PAUSED = { name: "S", help: "prepare everything, and start at a monitor's cont" } as const;

/** -no-shutdown */
export const NO_SHUTDOWN = {
  name: "no-shutdown",
  help: "stay when the enclave has exited, until a signal",
} as const;

const TEARDOWN = "the driver returns an enclave's memory before the launcher exits";

/** -run-with */
export const RUN_WITH = {
  name: "run-with",
  argument: "[user=NAME|UID|UID:GID][,chroot=DIR][,exit-with-parent=on|off]",
  help: "the process's privileges once the enclave has started",
  repeats: "merge",
  properties: {
    user: { schema: account, help: "run as this user: a name, a user id, or UID:GID" },
    chroot: { schema: () => filePath("DIR"), help: "use this root directory" },
    "exit-with-parent": { schema: onOff, help: "terminate when the parent process exits", default: "off" },
    "async-teardown": { schema: () => always("off", TEARDOWN) },
  },
  syntax: { shortBooleans: true },
  group: { name: "run-with" },
} as const;

/** User and group ids have 32 bits; the largest means "unchanged" (setresuid(2)). */
const NO_ID = 0xffff_ffff;

function account() {
  return z.pipe(
    text("NAME|UID|UID:GID").check(
      rule<string>(
        (user) => IDS.test(user) || /^[^\s:,/]+$/.test(user),
        (user) => `User "${user}" doesn't exist (and is not <uid>:<gid>)`,
      ),
      rule<string>(
        (user) => !IDS.test(user) || user.split(":").every((id) => Number(id) < NO_ID),
        `expects ids below ${NO_ID}`,
      ),
    ),
    z.transform(parseAccount),
  );
}

const IDS = /^\d+(:\d+)?$/;

function parseAccount(user: string): Account {
  if (!IDS.test(user)) return { name: user };
  const [uid = NO_ID, gid] = user.split(":").map(Number);
  return gid === undefined ? { uid } : { uid, gid };
}

/** A group of system calls. */
function denied(name: string, ...also: readonly string[]) {
  const error = ({ input }: { input?: unknown }) =>
    input === "allow"
      ? "must be deny: nitro's sandbox allows only the system calls that it needs, and none of these is among them"
      : `invalid argument for ${name}`;
  return z.enum(["deny", ...also], { error });
}

/** -sandbox */
export const SANDBOX = {
  name: "sandbox",
  argument: "on|off",
  help: "once the enclave has started, allow only the system calls that a launcher needs",
  default: "off",
  repeats: "merge",
  properties: {
    enable: { schema: onOff, help: "turn the sandbox on", default: "off" },
    obsolete: { schema: () => denied("obsolete"), help: "always deny" },
    elevateprivileges: { schema: () => denied("elevateprivileges", "children"), help: "always deny" },
    spawn: { schema: () => denied("spawn"), help: "always deny" },
    resourcecontrol: { schema: () => denied("resourcecontrol"), help: "always deny" },
  },
  syntax: { implied: "enable", shortBooleans: true },
  group: { name: "sandbox" },
} as const;

/** Reads these options. Throws UserError. */
export function processOptions(
  parsed: ParsedOptions,
): Pick<LaunchOptions, "process" | "pidFile" | "paused" | "staysAfterEnd"> {
  const runWith = parsed.properties(RUN_WITH);
  const typed = parsed.typed(RUN_WITH) ?? "";
  const daemonize = parsed.has(DAEMONIZE);
  const exitWithParent = runWith["exit-with-parent"] ?? false;
  if (daemonize && parsed.has(NOGRAPHIC)) {
    throw new UserError(
      "-nographic",
      "cannot be used with -daemonize",
      "use -display none, and -serial file:PATH for the console",
    );
  }
  if (daemonize && exitWithParent) {
    throw new UserError(
      typed,
      "exit-with-parent=on: a daemon's parent exits at once",
      "leave one of them out",
    );
  }
  const process: ProcessOptions = {
    daemonize,
    user: runWith.user === undefined ? undefined : { value: runWith.user, typed },
    chroot: runWith.chroot === undefined ? undefined : { value: runWith.chroot, typed },
    exitWithParent,
    sandbox: parsed.properties(SANDBOX).enable ?? false,
    processName: parsed.properties(NAME).process,
  };
  const isSpecial = Object.values(process).some((value) => value !== undefined && value !== false);
  return {
    process: isSpecial ? process : undefined,
    pidFile: parsed.file(PIDFILE),
    paused: parsed.has(PAUSED),
    staysAfterEnd: parsed.has(NO_SHUTDOWN),
  };
}
