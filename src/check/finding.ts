/** What `nitro check` reports: a line per subject, with the fix for a failure. */

import type { Problem } from "../host/problem.ts";
import { UserError } from "../sys/errors.ts";

/** What is checked, in the order in which it is reported and has to be fixed. */
export const SUBJECTS = {
  instance: "Nitro Enclaves device of the instance",
  kernel: "kernel version",
  driver: "driver module",
  device: "device node and its permissions",
  vcpus: "-smp and whole cores",
  pool: "CPU pool of the driver",
  enclaves: "running enclaves and the cores they use",
  image: "image files",
  memory: "-m and the size of the image",
  pages: "huge pages",
  cgroup: "control group limits",
  limits: "resource limits of the process",
  vsock: "vsock",
  port: "vsock port of the heartbeat",
  files: "files that the launch writes",
  process: "-run-with and -sandbox",
} as const;

/** A subject's name. */
export type Subject = keyof typeof SUBJECTS;

/** `note`: the check could not determine whether the subject is in order. */
export type Status = "ok" | "note" | "warning" | "failure";

/** One line of the report. */
export interface Finding {
  readonly subject: Subject;
  readonly status: Status;
  readonly text: string;
  /** A shell command that fixes the failure. */
  readonly command?: string | undefined;
  /** Options to launch with instead, or in addition to the command if there are both. */
  readonly options?: readonly string[] | undefined;
  readonly advice?: string | undefined;
}

/** Makes a finding that is not a failure. */
export function finding(subject: Subject, status: Exclude<Status, "failure">, text: string): Finding {
  return { subject, status, text };
}

/** Makes a failure of a problem. */
export function failure(subject: Subject, { why, command, options, advice }: Problem): Finding {
  return { subject, status: "failure", text: why, command, options, advice };
}

/** Makes a failure of a launch's own error; its text includes what the error is about. */
export function failureFromError(subject: Subject, error: UserError): Finding {
  const { command, options } = error.remedy ?? {};
  return { subject, status: "failure", text: error.message, command, options, advice: error.hint };
}

/** Calls a function; returns its value, or the failure if it throws a UserError. */
export function attempt<T>(subject: Subject, run: () => T): { value: T } | { failure: Finding } {
  try {
    return { value: run() };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { failure: failureFromError(subject, error) };
  }
}
