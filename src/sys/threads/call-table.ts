/**
 * The table of system calls that threads make (call_loop in x86_64.S and aarch64.S): a head, then a row for each call.
 * All fields are 64-bit integers.
 */

/** Size of the head in bytes. */
export const HEAD_BYTES = 64;

/** Size of a row in bytes. */
export const CALL_BYTES = 56;

/** Indexes of the fields in the head. */
export const HEAD = {
  /** Index of the next call that no thread has claimed. */
  next: 0,
  /** Number of calls. */
  calls: 1,
  /** Not 0: threads stop before their next call. */
  stop: 2,
  /** The negative errno of the last call that failed. */
  failure: 3,
  /** Sum of the `bytes` of all successful calls. */
  done: 4,
  /** A descriptor to which each thread writes one byte when it finishes. */
  finished: 5,
} as const;

/** Indexes of the fields in a row. */
export const CALL = {
  /** The number of the system call. */
  number: 0,
  /** The first of its four arguments. */
  args: 1,
  /** Added to HEAD.done on success. */
  bytes: 5,
  /** The result; negative until the call has succeeded. */
  result: 6,
} as const;
