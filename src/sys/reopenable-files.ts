/**
 * Files that nitro writes for as long as it runs. After log rotation has renamed them they are opened again by their
 * paths, so that what comes later is written to new files.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { UserError } from "./errors.ts";
import { fdStatus } from "./file-status.ts";
import { Fd } from "./files.ts";
import { O_CLOEXEC } from "./linux/fcntl.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { absolutePath, logFlags, openOutput } from "./output-files.ts";
import { checked, type System } from "./system.ts";

/** What a file was opened with. */
interface Opened {
  /** As the user typed it. */
  readonly path: string;
  /** The same file, whatever the working directory becomes. */
  readonly absolutePath: string;
  /** The mode that a new file gets. */
  readonly mode: number;
}

/** A file that can be opened again; the number of its descriptor stays the same. */
export class ReopenableFile extends Fd {
  #copy: number | undefined;

  constructor(
    private readonly kernel: System,
    number: number,
    readonly opened: Opened,
    private readonly closed: (file: ReopenableFile) => void,
  ) {
    super(kernel, number);
  }

  /** Makes another descriptor, such as standard error, refer to this file, now and after it is opened again. */
  copyTo(fd: number): void {
    this.#copy = fd;
    this.#replace(this.number, fd, 0);
  }

  /** Opens the file again. Throws SyscallError and UserError, and then the old file stays open. */
  reopen(): void {
    const { path, mode } = this.opened;
    if (this.kernel.rootChanged) throw new UserError(path, "it is outside of -run-with chroot=");
    using file = openOutput(this.kernel, this.opened.absolutePath, logFlags(true), mode);
    this.#replace(file.number, this.number, O_CLOEXEC);
    if (this.#copy !== undefined) this.#replace(file.number, this.#copy, 0);
  }

  /** dup3(2). */
  #replace(from: number, to: number, flags: number): void {
    const number = SYSCALLS.dup3[KERNEL_ARCHITECTURE];
    const result = Number(this.kernel.libc.syscall(number, from, to, flags, 0, 0));
    checked(this.kernel, "dup3", result, { args: () => `${from}, ${to}, ${flags === 0 ? 0 : "O_CLOEXEC"}` });
  }

  override close(): void {
    this.closed(this);
    super.close();
  }
}

/** What opening the files again resulted in. Paths are as the user typed them. */
export interface Reopened {
  readonly paths: readonly string[];
  readonly failures: readonly { readonly path: string; readonly why: string }[];
}

/** The files that are open now. */
export class ReopenableFiles {
  readonly #files = new Set<ReopenableFile>();

  constructor(private readonly system: System) {}

  /**
   * Opens a file with the flags of logFlags. Throws SyscallError, ENXIO for a FIFO without a reader; UserError for
   * another user's file.
   */
  open(path: string, append: boolean, mode = 0o666): ReopenableFile {
    const fd = openOutput(this.system, path, logFlags(append), mode);
    const opened = { path, absolutePath: absolutePath(this.system, path), mode };
    const file = new ReopenableFile(this.system, fd.number, opened, (closed) => this.#files.delete(closed));
    this.#files.add(file);
    return file;
  }

  /** Opens every regular file again, without truncating it. One that cannot be opened stays as it is. */
  reopen(): Reopened {
    const paths: string[] = [];
    const failures: { path: string; why: string }[] = [];
    for (const file of this.#files) {
      if (fdStatus(this.system, file)?.isRegular !== true) continue;
      const { path } = file.opened;
      try {
        file.reopen();
        paths.push(path);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failures.push({ path, why: error.why });
      }
    }
    return { paths, failures };
  }
}
