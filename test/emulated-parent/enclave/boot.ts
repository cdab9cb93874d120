/**
 * An enclave whose kernel, ramdisks and command line run in qemu-system-x86_64, with its serial port as the console.
 */

import { payload } from "../driver/image.ts";
import { closeFd, makeMemfd, makePipe, openFile, readSome, writeAt } from "../sys/files.ts";
import { POLL } from "../sys/kernel.ts";
import { fixedBytes, spawn } from "../sys/libc.ts";
import { childEnd, openProcess, sendSignal } from "../sys/processes.ts";
import type { Enclave } from "./enclave.ts";

const MIB = 1024 * 1024;
const leastGuestMiB = 256; // what Debian's kernel and a small ramdisk need to unpack
const mostGuestCpus = 2; // each is a thread of its own in TCG, and build machines have few CPUs
const markerTailBytes = 256; // the pipe may split a marker in two

/** A memfd with the payloads of all sections of a type. */
function sectionFile(enclave: Enclave, type: string): number {
  const { memory, loadOffset, image } = enclave.setup;
  const fd = makeMemfd(type, new Uint8Array());
  let position = 0;
  for (const view of payload(memory, loadOffset, image, type)) {
    writeAt(fd, view, position);
    position += view.length;
  }
  return fd;
}

function sectionText(enclave: Enclave, type: string): string {
  const { memory, loadOffset, image } = enclave.setup;
  return Buffer.concat(payload(memory, loadOffset, image, type))
    .toString("utf8")
    .replace(/\0+$/, "");
}

function qemuArguments(enclave: Enclave): string[] {
  const { memory, vcpus, image } = enclave.setup;
  const guestMiB = Math.max(leastGuestMiB, Math.floor(memory.length / MIB));
  const initrd = image.sections.some((section) => section.type === "ramdisk" && section.bytes > 0);
  return [
    ...[enclave.behaviour.qemu, "-accel", "tcg", "-M", "q35", "-m", `${guestMiB}M`],
    ...[
      "-smp",
      `${Math.min(vcpus, mostGuestCpus)}`,
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
    ],
    ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
    ...["-kernel", "/proc/self/fd/4", "-append", sectionText(enclave, "cmdline")],
    ...(initrd ? ["-initrd", "/proc/self/fd/5"] : []),
  ];
}

/** Reads a pipe to its end, chunk by chunk. */
function drain(
  enclave: Enclave,
  fd: number,
  taken: (bytes: Uint8Array<ArrayBuffer>) => void,
  ended: () => void,
): void {
  const buffer = fixedBytes(65_536);
  const watch = enclave.world.loop.watch(fd, POLL.IN, () => {
    const got = readSome(fd, buffer);
    if (got > 0) return taken(buffer.slice(0, got));
    enclave.world.loop.unwatch(watch);
    closeFd(fd);
    ended();
  });
}

/** Starts the emulator; it ends with the enclave and with the supervisor. */
export function startBoot(enclave: Enclave): void {
  const { world, behaviour } = enclave;
  const output = makePipe();
  const errors = makePipe();
  const nothing = openFile("/dev/null", 0);
  const files = [sectionFile(enclave, "kernel"), sectionFile(enclave, "ramdisk")] as const;
  const command = qemuArguments(enclave);
  const stage = new URL("../stage.ts", import.meta.url).pathname;
  const { PATH = "/usr/bin:/bin" } = process.env;
  const environment = [`PATH=${PATH}`];
  const descriptors = new Map([
    [0, nothing],
    [1, output.writeEnd],
    [2, errors.writeEnd],
    [4, files[0]],
    [5, files[1]],
  ]);
  const pid = spawn(
    [process.execPath, stage, "", "-", "machine", "--", ...command],
    environment,
    descriptors,
  );
  for (const fd of [nothing, output.writeEnd, errors.writeEnd, ...files]) closeFd(fd);
  world.trace.add("enclave boots", { cid: enclave.setup.cid, pid, command: command.join(" ") });
  enclave.atEnd(() => sendSignal(pid, 9));
  const marker = new RegExp(behaviour.heartbeatMarker, "i");
  let tail = "";
  let beaten = behaviour.heartbeatMs === null;
  drain(
    enclave,
    output.readEnd,
    (bytes) => {
      enclave.console.print(bytes);
      if (beaten) return;
      tail = (tail + Buffer.from(bytes).toString("latin1")).slice(-markerTailBytes - bytes.length);
      if (!marker.test(tail)) return;
      beaten = true;
      enclave.later(behaviour.heartbeatMs ?? 0, () => enclave.beat());
    },
    () => awaitEnd(enclave, pid),
  );
  drain(
    enclave,
    errors.readEnd,
    (bytes) => world.trace.add("emulator output", { text: Buffer.from(bytes).toString("utf8").trimEnd() }),
    () => undefined,
  );
}

/** Called when the serial port is closed: the emulator is about to exit. */
function awaitEnd(enclave: Enclave, pid: number): void {
  const { loop } = enclave.world;
  const processFd = openProcess(pid);
  if (processFd === undefined) return enclave.exit("the emulator has ended");
  const watch = loop.watch(processFd, POLL.IN, () => {
    const end = childEnd(pid);
    loop.unwatch(watch);
    closeFd(processFd);
    enclave.exit(`the emulator has ended: ${JSON.stringify(end)}`);
  });
}
