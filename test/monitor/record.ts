/**
 * Records the exchanges with QEMU in an emulated parent instance into exchanges.jsonl, which replay.test.ts compares
 * with: `QEMU=qemu-system-x86_64 bun test/monitor/record.ts`, where QEMU is of a version that has `-accel nitro`.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fakeInitrd, fakeKernel } from "../launch/images.ts";
import { startInParent } from "../parent/run.ts";
import { askHmp, askQmp, HMP_LINES, KEYS, launchOf, QMP_LINES, typeKeys } from "./exchanges.ts";

const qemu = process.env["QEMU"];
if (qemu === undefined)
  throw new Error("QEMU is not set: QEMU=qemu-system-x86_64 bun test/monitor/record.ts");
const folder = mkdtempSync(join(tmpdir(), "record-"));
writeFileSync(join(folder, "kernel"), fakeKernel());
writeFileSync(join(folder, "initrd"), fakeInitrd());
const parent = startInParent(launchOf(qemu.split(" "), folder));
try {
  // The CID is there once the enclave has started, which is when the console's file has something in it.
  await Bun.sleep(1500);
  const hmp = await askHmp(join(folder, "hmp.sock"), HMP_LINES);
  const qmp = await askQmp(join(folder, "qmp.sock"), QMP_LINES);
  const keys = await typeKeys(join(folder, "hmp.sock"), KEYS);
  const lines = [...hmp, ...qmp, ...keys].map((exchange) => `${JSON.stringify(exchange)}\n`);
  writeFileSync(join(import.meta.dir, "exchanges.jsonl"), lines.join(""));
  console.log(`${lines.length} exchanges recorded`);
} finally {
  parent.kill("SIGTERM");
  await parent.finished();
  rmSync(folder, { recursive: true, force: true });
}
