/** Wake-ups and processor time of a launcher whose enclave runs and does nothing. */
import { startInParent } from "../emulated-parent/run.ts";
import { printActivity } from "./activity.ts";
import { imageFiles } from "./image-files.ts";
import { cheapScenario, NITRO, type Setup } from "./setup.ts";

/** Measures 10 s soon after the start, and 10 s after the runtime's helper threads have exited; prints both. */
export async function idleLauncher(setup: Setup): Promise<void> {
  const { kernel, initrd } = imageFiles(setup.directory, 16_000_000);
  const size = ["-m", "128M", "-smp", "2"];
  const image = ["-kernel", kernel, "-initrd", initrd];
  const launched = startInParent({
    command: [NITRO, "-accel", "nitro,debug-mode=on", ...size, ...image],
    scenario: cheapScenario(setup, { console: ["up"] }),
    limitSeconds: 60,
  });
  await Bun.sleep(2000);
  const pid = launched.commandPid();
  if (pid === undefined) throw new Error("bench: the launcher has exited");
  console.log("\nIdle with a running enclave, 10 s");
  await printActivity(pid, "from 2 s after the start");
  await Bun.sleep(18_000);
  await printActivity(pid, "from 30 s after the start, when the runtime's helper threads have exited");
  launched.kill("SIGTERM");
  await launched.finished();
}
