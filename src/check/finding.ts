/** What `nitro check` finds: a line for each subject, and what mends it. */

import type { Problem } from "../host/problem.ts";
import { UserError } from "../sys/errors.ts";

/** What is looked at, in the order in which it is told and mended. */
export const SUBJECTS = {
  instance: "the instance's Nitro Enclaves device",
  kernel: "the kernel's version",
  driver: "the driver's module",
  device: "the driver's node and who may open it",
  vcpus: "-smp against cores",
  pool: "the driver's CPU pool",
  enclaves: "enclaves that run, and what they leave",
  image: "the files of the image",
  memory: "-m against the image",
  pages: "huge pages",
  cgroup: "limits of control groups",
  limits: "limits of the process",
  vsock: "vsock",
  port: "the heartbeat's port",
  files: "files that the launch writes",
  process: "what the process is to become",
} as const;

/** A subject's name. */
export type Subject = keyof typeof SUBJECTS;

/** `note`: nothing is known against it, and nothing for it. */
export type Status = "ok" | "warning" | "failure" | "note";

/** One line. */
export interface Finding {
  readonly subject: Subject;
  readonly status: Status;
  readonly text: string;
  /** A line for a shell that mends it. */
  readonly command?: string | undefined;
  /** Options that the launch is to be given in place of those that it had; beside the command where there are both. */
  readonly options?: readonly string[] | undefined;
  readonly advice?: string | undefined;
}

/** A finding that is no failure. */
export function found(subject: Subject, status: Exclude<Status, "failure">, text: string): Finding {
  return { subject, status, text };
}

/** A fault as a finding. */
export function failed(subject: Subject, { why, command, options, advice }: Problem): Finding {
  return { subject, status: "failure", text: why, command, options, advice };
}

/** A launch's own refusal as a finding: what it names is part of the text. */
export function refused(subject: Subject, error: UserError): Finding {
  const { command, options } = error.remedy ?? {};
  return { subject, status: "failure", text: error.message, command, options, advice: error.hint };
}

/** Runs what may throw a UserError: its findings, or the refusal. */
export function attempt<T>(subject: Subject, run: () => T): { value: T } | { refusal: Finding } {
  try {
    return { value: run() };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { refusal: refused(subject, error) };
  }
}
