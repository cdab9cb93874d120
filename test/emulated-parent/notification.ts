/** A system call of a supervised process that waits for an answer, and the listener that receives such calls. */
import { E } from "./sys/errno.ts";
import { closeFd, readShortFile } from "./sys/files.ts";
import { NOTIF, NR, O, SECCOMP } from "./sys/kernel.ts";
import { addressOf, call, fixedBytes } from "./sys/libc.ts";
import { readMemory, writeMemory } from "./sys/processes.ts";

// struct seccomp_notif, seccomp_notif_resp and seccomp_notif_addfd (linux/seccomp.h)
const requestBytes = fixedBytes(80);
const request = new DataView(requestBytes.buffer);
const requestAt = addressOf(requestBytes);
const responseBytes = fixedBytes(24);
const response = new DataView(responseBytes.buffer);
const responseAt = addressOf(responseBytes);
const addFdBytes = fixedBytes(24);
const addFdRequest = new DataView(addFdBytes.buffer);
const addFdAt = addressOf(addFdBytes);

/** A thread's process never changes, so it is looked up once; execve removes the entry, because ids may be reused. */
const processes = new Map<number, number>();

/** A waiting system call. */
export class Notification {
  /** Whether it has been answered; nothing may be answered twice. */
  answered = false;
  /** How it was answered, for the trace: a result, or a negated errno; undefined if the kernel executed the call. */
  outcome: number | undefined;

  constructor(
    private readonly listener: number,
    private readonly id: bigint,
    /** The calling thread. */
    readonly tid: number,
    /** The call's number. */
    readonly nr: number,
    /** Its six arguments; those beyond 2^53 are rounded. */
    readonly args: readonly number[],
  ) {}

  /** The calling process. */
  get pid(): number {
    let pid = processes.get(this.tid);
    if (pid !== undefined) return pid;
    // If the thread has exited, its own id serves as well.
    const text = readShortFile(`/proc/${this.tid}/status`) ?? "";
    pid = Number(/^Tgid:\s*(\d+)/m.exec(text)?.[1] ?? this.tid);
    processes.set(this.tid, pid);
    return pid;
  }

  /** Removes the thread from the table of processes. */
  forgetProcess(): void {
    processes.delete(this.tid);
  }

  /** An argument as an unsigned 32-bit number. */
  u32(index: number): number {
    return (this.args[index] ?? 0) % 2 ** 32;
  }

  /** An argument as a signed 32-bit number, as descriptors are. */
  i32(index: number): number {
    return this.u32(index) | 0;
  }

  /** An argument as an address or a length. */
  wide(index: number): number {
    return this.args[index] ?? 0;
  }

  /** Reads the caller's memory; undefined if a part of it cannot be read. */
  read(address: number, length: number): DataView<ArrayBuffer> | undefined {
    const bytes = fixedBytes(Math.max(1, length));
    return readMemory(this.tid, address, bytes, length) === length ? new DataView(bytes.buffer) : undefined;
  }

  /** Writes the caller's memory; false if it cannot be written. */
  write(address: number, bytes: Uint8Array): boolean {
    return writeMemory(this.tid, address, bytes);
  }

  /** Sends the answer to the kernel. */
  protected send(value: number, error: number, flags: number): void {
    if (this.answered) return;
    this.answered = true;
    response.setBigUint64(0, this.id, true);
    response.setBigInt64(8, BigInt(value), true);
    response.setInt32(16, error, true);
    response.setUint32(20, flags, true);
    call(NR.ioctl, this.listener, NOTIF.SEND, responseAt); // ENOENT: the caller was killed meanwhile
  }

  /** Makes the call return this value. */
  reply(value: number): void {
    this.outcome = value;
    this.send(value, 0, 0);
  }

  /** Makes the call fail with this errno; the driver's own codes above 255 are passed on as they are. */
  fail(errno: number): void {
    this.outcome = -errno;
    this.send(0, -errno, 0);
  }

  /** Lets the kernel execute the call. */
  proceed(): void {
    this.send(0, 0, SECCOMP.NOTIF_FLAG_CONTINUE);
  }

  /**
   * Makes the call return a new descriptor of the caller for one of ours. EMFILE and similar errors become the call's
   * error.
   */
  replyWithFd(fd: number, closeOnExec: boolean): boolean {
    const result = this.place(fd, 0, SECCOMP.ADDFD_FLAG_SEND, closeOnExec);
    if (result < 0) {
      this.fail(-result);
      return false;
    }
    this.answered = true;
    this.outcome = result;
    return true;
  }

  /** Replaces one of the caller's descriptors with one of ours. */
  replaceFd(fd: number, target: number, closeOnExec: boolean): void {
    this.place(fd, target, SECCOMP.ADDFD_FLAG_SETFD, closeOnExec);
  }

  /** Installs one of our descriptors in the caller; returns its number there, or the negated errno. */
  protected place(fd: number, target: number, flags: number, closeOnExec: boolean): number {
    addFdRequest.setBigUint64(0, this.id, true);
    addFdRequest.setUint32(8, flags, true);
    addFdRequest.setUint32(12, fd, true);
    addFdRequest.setUint32(16, target, true);
    addFdRequest.setUint32(20, closeOnExec ? O.CLOEXEC : 0, true);
    return call(NR.ioctl, this.listener, NOTIF.ADDFD, addFdAt);
  }
}

/** The listener, which receives the calls of supervised processes. */
export class Listener {
  constructor(readonly fd: number) {
    // Waking the other side on the same CPU saves an interrupt between CPUs. Kernels before 6.6 refuse it, which does
    // no harm.
    call(NR.ioctl, fd, NOTIF.SET_FLAGS, SECCOMP.NOTIF_FD_SYNC_WAKE_UP);
  }

  /** Receives the next waiting call; undefined if its caller has exited meanwhile. */
  receive(): Notification | undefined {
    requestBytes.fill(0); // the kernel requires it (seccomp_unotify(2))
    const result = call(NR.ioctl, this.fd, NOTIF.RECV, requestAt);
    if (result < 0) {
      if (result !== -E.ENOENT && result !== -E.EINTR)
        throw new Error(`SECCOMP_IOCTL_NOTIF_RECV: errno ${-result}`);
      return undefined;
    }
    const args: number[] = [];
    for (let at = 32; at < 80; at += 8) {
      args.push(request.getUint32(at, true) + request.getUint32(at + 4, true) * 2 ** 32);
    }
    const id = request.getBigUint64(0, true);
    return new Notification(this.fd, id, request.getUint32(8, true), request.getInt32(16, true), args);
  }

  /** Closes the listener: later calls fail with ENOSYS. */
  close(): void {
    closeFd(this.fd);
  }
}
