/**
 * The only access to the kernel: every call goes through libc's syscall(2), and all of test/emulated-parent uses the
 * functions of this file for memory, pointers and errno.
 */
import { dlopen, FFIType, ptr, read, toArrayBuffer } from "bun:ffi";

const { symbols: libc } = dlopen("libc.so.6", {
  // long syscall(long number, ...)
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: FFIType.i64_fast },
  // int *__errno_location(void)
  __errno_location: { args: [], returns: "ptr" },
  // int posix_spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char **, char **)
  posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int posix_spawn_file_actions_init(posix_spawn_file_actions_t *)
  posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
  // int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *)
  posix_spawn_file_actions_destroy: { args: ["ptr"], returns: "i32" },
  // int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *, int, int)
  posix_spawn_file_actions_adddup2: { args: ["ptr", "i32", "i32"], returns: "i32" },
  // void (*signal(int, void (*)(int)))(int)
  signal: { args: ["i32", "ptr"], returns: "ptr" },
});

/** Everything here runs in the main thread, so errno has one address. */
const errnoAddress = libc.__errno_location();

/** Calls the kernel; returns the result, or the negated errno. */
export function call(nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  const result = Number(libc.syscall(nr, a, b, c, d, e, f));
  if (result !== -1) return result;
  return errnoAddress === null ? -1 : -read.i32(errnoAddress, 0);
}

/** Makes a call that must not fail. Returns the result; throws with the call's name otherwise. */
export function mustCall(name: string, nr: number, ...args: number[]): number {
  const result = call(nr, ...args);
  if (result < 0) throw new SyscallError(name, -result);
  return result;
}

/** A call that the kernel refused. */
export class SyscallError extends Error {
  /** @param call the call's name. @param errno its error. */
  constructor(
    readonly syscall: string,
    readonly errno: number,
  ) {
    super(`${syscall} failed with errno ${errno}`);
  }
}

/** Returns the address of a buffer's bytes; the caller must keep the buffer until the call has returned. */
export function addressOf(view: NodeJS.TypedArray): number {
  return ptr(view);
}

/** Returns memory that never moves: typed arrays without their own ArrayBuffer may be moved when `.buffer` is read. */
export function fixedBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A view without a copy of `length` bytes at an address of this process. */
export function viewOf(address: number, length: number): Uint8Array<ArrayBuffer> {
  // bun:ffi has its own type for addresses; mmap(2) has just returned this one.
  return new Uint8Array(toArrayBuffer(address as Parameters<typeof toArrayBuffer>[0], 0, length));
}

/** A NUL-terminated copy of a text, in memory that stays where it is. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const encoded = new TextEncoder().encode(text);
  const bytes = fixedBytes(encoded.length + 1);
  bytes.set(encoded);
  return bytes;
}

/** Returns a NULL-terminated `char *[]`, with the strings that it points to. */
export function cStrings(texts: readonly string[]): { table: BigUint64Array; held: Uint8Array[] } {
  const held = texts.map(cString);
  const table = new BigUint64Array(new ArrayBuffer(8 * (texts.length + 1)));
  held.forEach((bytes, index) => {
    table[index] = BigInt(ptr(bytes));
  });
  return { table, held };
}

/** Sets a signal's disposition back to the default. */
export function resetSignal(signal: number): void {
  libc.signal(signal, null);
}

/**
 * Starts a program with the given descriptors (`descriptors[n]` becomes its descriptor n). Returns its process id.
 * Throws SyscallError. The program inherits no other descriptor that is marked close-on-exec.
 */
export function spawn(
  argv: readonly string[],
  environment: readonly string[],
  descriptors: Map<number, number>,
): number {
  const path = cString(argv[0] ?? "");
  const args = cStrings(argv);
  const env = cStrings(environment);
  const pid = new Int32Array(new ArrayBuffer(4));
  const actions = fixedBytes(256); // posix_spawn_file_actions_t has 80 bytes with glibc (spawn.h)
  libc.posix_spawn_file_actions_init(ptr(actions));
  for (const [target, source] of descriptors) {
    libc.posix_spawn_file_actions_adddup2(ptr(actions), source, target);
  }
  const error = libc.posix_spawn(ptr(pid), ptr(path), ptr(actions), null, ptr(args.table), ptr(env.table));
  libc.posix_spawn_file_actions_destroy(ptr(actions));
  if (error !== 0 || args.held.length + env.held.length === 0)
    throw new SyscallError(`posix_spawn ${argv[0]}`, error);
  return pid[0] ?? 0;
}
