/** Answers the calls of a described instance. Loaded for those only, because each file costs time at the start. */
import type { Driver } from "./driver/driver.ts";
import { FileCalls } from "./files/file-calls.ts";
import { ParentFiles } from "./files/parent-files.ts";
import { MemoryCalls } from "./memory/memory-calls.ts";
import { NodePages } from "./memory/node-pages.ts";
import type { Notification } from "./notification.ts";
import type { Instance } from "./topology/instance.ts";
import type { World } from "./world.ts";

/** The parts that answer calls. */
export class Described {
  private readonly parentFiles: ParentFiles;
  private readonly fileCalls: FileCalls;
  private readonly memoryCalls: MemoryCalls;

  constructor({ instance, hugePages }: World, driver: Driver) {
    if (!(hugePages instanceof NodePages))
      throw new Error("the huge pages of a described instance must have nodes");
    this.memoryCalls = new MemoryCalls(hugePages, instance);
    this.parentFiles = new ParentFiles(instance, driver, this.memoryCalls.pageMaps);
    this.fileCalls = new FileCalls(this.parentFiles, instance);
  }

  /** The nodes' huge pages. */
  static pagesOf(instance: Instance): NodePages {
    return new NodePages(instance);
  }

  /** The path that a call is about, absolute; undefined for calls that name none. */
  subjectOf(request: Notification): string | undefined {
    return this.fileCalls.subjectOf(request);
  }

  /**
   * Answers a call. Returns the details for the trace; undefined if it has nothing to do with the emulation; null if
   * another part answers it.
   */
  serve(request: Notification, subject: string): Record<string, unknown> | undefined | null {
    const detail = this.fileCalls.serve(request, subject);
    return detail === null ? this.memoryCalls.serve(request) : detail;
  }

  /** Called when a process executes another program. */
  forget(pid: number): void {
    this.memoryCalls.forget(pid);
  }

  /** Removes what would outlast the run. */
  close(): void {
    this.parentFiles.copies.close();
  }
}
