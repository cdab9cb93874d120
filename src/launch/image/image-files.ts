/**
 * The image of a launch: its files are opened, sized and recognised before any resource of the parent instance is used,
 * and read straight into the enclave's memory later. nitro never holds a second copy of the image.
 */
import { kernelSection, launchSections, type NamedPath, openRamdisks } from "../../eif/contents.ts";
import { isEif } from "../../eif/format/reader.ts";
import { planEif } from "../../eif/format/writer.ts";
import { openInput } from "../../eif/input-file.ts";
import { KERNEL_ARCHITECTURE } from "../../sys/architecture.ts";
import { UserError } from "../../sys/errors.ts";
import type { LaunchOptions, Typed } from "../options.ts";
import { openEifImage } from "./eif-image.ts";
import type { Image, ImageContext } from "./image.ts";
import { loadPlan } from "./load-plan.ts";

/**
 * Opens the files of -kernel, -initrd and ramdisk=. An EIF is read and checked as a whole, a compressed kernel
 * unpacked. Throws UserError and SyscallError.
 */
export async function openImage(context: ImageContext, options: LaunchOptions): Promise<Image> {
  using stack = new DisposableStack();
  const { system, report, progress } = context;
  const { kernel, initrd, ramdisks, commandLine, anyKernel } = options;
  const file = stack.use(openInput(system, kernel.typed, kernel.value));
  if (isEif(file.head)) {
    rejectNextToEif(options);
    const image = await openEifImage(context, file);
    stack.move();
    return image;
  }
  const section = await kernelSection(file, { architecture: KERNEL_ARCHITECTURE, anyKernel }, report);
  const paths = [...(initrd === undefined ? [] : [initrd]), ...ramdisks].map(namedPath);
  const sections = launchSections(section, commandLine?.value ?? "", openRamdisks(system, stack, paths));
  const plan = planEif({ architecture: KERNEL_ARCHITECTURE, memoryBytes: 0, cpus: 0 }, sections);
  const owned = stack.move();
  return {
    size: plan.size,
    what: kernel.typed,
    sections: plan.sections,
    signature: undefined,
    load: (memory, offset) => loadPlan(system, plan, memory, offset, progress.advance),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function namedPath({ typed, value }: Typed<string>): NamedPath {
  return { typed, path: value };
}

/** An EIF has its own ramdisks and command line. */
function rejectNextToEif({ kernel, initrd, ramdisks, commandLine }: LaunchOptions): void {
  const option = initrd ?? ramdisks[0] ?? commandLine;
  if (option === undefined) return;
  throw new UserError(
    option.typed,
    `${kernel.typed} is an EIF, which has its own ramdisks and command line`,
    `omit ${option.typed}, or name a plain kernel with -kernel`,
  );
}
