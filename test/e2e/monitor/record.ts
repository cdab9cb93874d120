/**
 * Records QEMU's answers in an emulated parent instance to exchanges.jsonl, for replay.test.ts:
 * `QEMU=qemu-system-x86_64 bun test/e2e/monitor/record.ts`, with a QEMU that has `-accel nitro`.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startInParent } from "../../emulated-parent/run.ts";
import { fakeInitrd, fakeKernel } from "../launch/images.ts";
import { askHmp, askQmp, HMP_LINES, KEYS, launchOf, QMP_LINES, typeKeys } from "./exchanges.ts";

const qemu = process.env["QEMU"];
if (qemu === undefined)
  throw new Error("QEMU is not set: QEMU=qemu-system-x86_64 bun test/e2e/monitor/record.ts");
const directory = mkdtempSync(join(tmpdir(), "record-"));
writeFileSync(join(directory, "kernel"), fakeKernel());
writeFileSync(join(directory, "initrd"), fakeInitrd());
const parent = startInParent(launchOf(qemu.split(" "), directory));
try {
  // The CID is known once the enclave has started.
  await Bun.sleep(1500);
  const hmp = await askHmp(join(directory, "hmp.sock"), HMP_LINES);
  const qmp = await askQmp(join(directory, "qmp.sock"), QMP_LINES);
  const keys = await typeKeys(join(directory, "hmp.sock"), KEYS);
  const lines = [...hmp, ...qmp, ...keys].map((exchange) => `${JSON.stringify(exchange)}\n`);
  writeFileSync(join(import.meta.dir, "exchanges.jsonl"), lines.join(""));
  console.log(`${lines.length} exchanges recorded`);
} finally {
  parent.kill("SIGTERM");
  await parent.finished();
  rmSync(directory, { recursive: true, force: true });
}
