/** One system call of a supervised process that waits for an answer, and the listener that they arrive at. */
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
const handOverBytes = fixedBytes(24);
const handOver = new DataView(handOverBytes.buffer);
const handOverAt = addressOf(handOverBytes);

/** A thread's process never changes, so it is looked up once; execve forgets it, as numbers may be used again. */
const processes = new Map<number, number>();

/** A waiting system call. */
export class Notification {
  /** Whether it has been answered; nothing may be answered twice. */
  answered = false;
  /** How it was answered, for the trace: a result, or a negated errno; undefined where the kernel went on. */
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
    // Where the thread is gone, its own number serves as well.
    const text = readShortFile(`/proc/${this.tid}/status`) ?? "";
    pid = Number(/^Tgid:\s*(\d+)/m.exec(text)?.[1] ?? this.tid);
    processes.set(this.tid, pid);
    return pid;
  }

  /** Forgets which process this thread belongs to. */
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

  /** Reads the caller's memory; undefined where it cannot be read as a whole. */
  read(address: number, length: number): DataView<ArrayBuffer> | undefined {
    const bytes = fixedBytes(Math.max(1, length));
    return readMemory(this.tid, address, bytes, length) === length ? new DataView(bytes.buffer) : undefined;
  }

  /** Writes the caller's memory; false where it cannot be written. */
  write(address: number, bytes: Uint8Array): boolean {
    return writeMemory(this.tid, address, bytes);
  }

  /** Lets the caller go on. */
  protected send(value: number, error: number, flags: number): void {
    if (this.answered) return;
    this.answered = true;
    response.setBigUint64(0, this.id, true);
    response.setBigInt64(8, BigInt(value), true);
    response.setInt32(16, error, true);
    response.setUint32(20, flags, true);
    call(NR.ioctl, this.listener, NOTIF.SEND, responseAt); // ENOENT: the caller was killed meanwhile
  }

  /** The call returns this value. */
  reply(value: number): void {
    this.outcome = value;
    this.send(value, 0, 0);
  }

  /** The call fails with this errno; the driver's own codes above 255 go through as they are. */
  fail(errno: number): void {
    this.outcome = -errno;
    this.send(0, -errno, 0);
  }

  /** Lets the kernel execute the call. */
  proceed(): void {
    this.send(0, 0, SECCOMP.NOTIF_FLAG_CONTINUE);
  }

  /** The call returns a new descriptor of the caller for one of ours; EMFILE and its like become the call's error. */
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

  /** Puts one of our descriptors over one of the caller's. */
  replaceFd(fd: number, target: number, closeOnExec: boolean): void {
    this.place(fd, target, SECCOMP.ADDFD_FLAG_SETFD, closeOnExec);
  }

  /** Gives one of our descriptors to the caller; gives its number there, or the negated errno. */
  protected place(fd: number, target: number, flags: number, closeOnExec: boolean): number {
    handOver.setBigUint64(0, this.id, true);
    handOver.setUint32(8, flags, true);
    handOver.setUint32(12, fd, true);
    handOver.setUint32(16, target, true);
    handOver.setUint32(20, closeOnExec ? O.CLOEXEC : 0, true);
    return call(NR.ioctl, this.listener, NOTIF.ADDFD, handOverAt);
  }
}

/** Where supervised processes' calls arrive. */
export class Listener {
  constructor(readonly fd: number) {
    // Waking the other side on the same CPU saves an interrupt between CPUs; kernels before 6.6 refuse, which is no harm.
    call(NR.ioctl, fd, NOTIF.SET_FLAGS, SECCOMP.NOTIF_FD_SYNC_WAKE_UP);
  }

  /** The next waiting call; undefined where its caller has gone meanwhile. */
  receive(): Notification | undefined {
    requestBytes.fill(0); // the kernel insists on it (seccomp_unotify(2))
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

  /** Closes the listener: calls that come later fail with ENOSYS. */
  close(): void {
    closeFd(this.fd);
  }
}
