/** -name, -uuid and -msg: what the enclave and the messages about it are called. */
import * as z from "zod/mini";
import type { LaunchOptions } from "../../launch/options.ts";
import type { ParsedOptions } from "./parsed-options.ts";
import { onOff, printable, text } from "./values.ts";

/** -name */
export const NAME = {
  name: "name",
  argument: "[guest=]NAME[,process=NAME]",
  help: "a name for the enclave, in messages, and one for the process",
  repeats: "merge",
  properties: {
    guest: { schema: () => printable("a name"), help: "the enclave's name" },
    process: { schema: () => printable("a process name"), help: "the launcher's name in ps and top" },
    // QEMU names its threads; nitro's do nothing of their own.
    "debug-threads": { schema: onOff },
  },
  syntax: { implied: "guest", shortBooleans: true },
  group: { name: "name" },
} as const;

/** -uuid */
export const UUID = {
  name: "uuid",
  argument: "UUID",
  help: "the enclave's UUID, which monitors report",
  schema: () =>
    text("UUID").check(
      z.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, {
        error: "failed to parse UUID string: wrong format",
      }),
      z.toLowerCase(),
    ),
} as const;

/** -msg */
export const MESSAGES = {
  name: "msg",
  argument: "[timestamp=on|off][,guest-name=on|off]",
  help: "what messages begin with",
  repeats: "merge",
  properties: {
    timestamp: { schema: onOff, help: "the time, in UTC", default: "off" },
    "guest-name": { schema: onOff, help: "the enclave's name", default: "off" },
  },
  syntax: { shortBooleans: true },
  group: { name: "msg" },
} as const;

/** Reads -name, -uuid and -msg. Throws UserError. */
export function nameOptions(parsed: ParsedOptions): Pick<LaunchOptions, "name" | "uuid" | "messages"> {
  const { timestamp = false, "guest-name": guestName = false } = parsed.properties(MESSAGES);
  return {
    name: parsed.properties(NAME).guest,
    uuid: parsed.value(UUID),
    messages: timestamp || guestName ? { timestamp, guestName } : undefined,
  };
}

/** Returns what a message begins with, by -msg: the time in UTC, and the enclave's name. */
export function messagePrefix({ messages, name }: LaunchOptions): string {
  const time = messages?.timestamp ? `${new Date().toISOString()} ` : "";
  return messages?.guestName && name !== undefined ? `${time}${name} ` : time;
}
