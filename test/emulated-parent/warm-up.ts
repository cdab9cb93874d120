/**
 * Warms up the code before the command starts: runs through a launch once, with the supervisor itself as the launcher
 * and a temporary world. Code that runs for the first time takes milliseconds where it later takes microseconds, and
 * tests measure the time of launches.
 */

import { Calls } from "./calls.ts";
import { Driver } from "./driver/driver.ts";
import { Faults } from "./faults.ts";
import { DEVICE_PATH } from "./files/driver-files.ts";
import { HugePages } from "./huge-pages.ts";
import { Loop } from "./loop.ts";
import { Notification } from "./notification.ts";
import { Ledger } from "./report.ts";
import { defaultScenario } from "./scenario.ts";
import { closeFd } from "./sys/files.ts";
import { AF, AT_FDCWD, HUGE_PAGE, MAP, MFD, NE, NR, O, PROT, SOCK, SOCKADDR_VM_BYTES } from "./sys/kernel.ts";
import { addressOf, call, cString, fixedBytes } from "./sys/libc.ts";
import { Instance } from "./topology/instance.ts";
import { Trace } from "./trace.ts";
import { Vsock } from "./vsock.ts";

const rounds = 4;

/** A call that this process makes of itself. */
class OwnCall extends Notification {
  constructor(nr: number, args: readonly number[]) {
    super(-1, 0n, process.pid, nr, [...args, 0, 0, 0, 0, 0, 0].slice(0, 6));
  }

  protected override send(): void {
    this.answered = true;
  }

  protected override place(fd: number): number {
    return call(NR.dup, fd);
  }
}

/** Makes every call of a launch once. */
function round(calls: Calls): void {
  const made: number[] = [];
  const ask = (nr: number, ...args: number[]): number => {
    const request = new OwnCall(nr, args);
    calls.answer(request);
    return request.outcome ?? -1;
  };
  const open = (nr: number, ...args: number[]): number => {
    const fd = ask(nr, ...args);
    if (fd >= 0) made.push(fd);
    return fd;
  };
  const path = cString(DEVICE_PATH);
  const other = cString("/dev/null");
  const record = fixedBytes(24);
  const at = addressOf(record);
  for (let times = 0; times < 20; times++) ask(NR.openat, AT_FDCWD, addressOf(other), 0);
  const device = open(NR.openat, AT_FDCWD, addressOf(path), O.RDWR);
  const enclave = open(NR.ioctl, device, NE.NE_CREATE_VM, at);
  record[0] = 1;
  ask(NR.ioctl, enclave, NE.NE_GET_IMAGE_LOAD_INFO, at);
  const file = open(NR.memfd_create, addressOf(other), MFD.HUGETLB | MFD.CLOEXEC);
  ask(NR.mmap, 0, HUGE_PAGE, PROT.READ | PROT.WRITE, MAP.SHARED, file, 0);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, 0n, true);
  view.setBigUint64(8, BigInt(HUGE_PAGE), true);
  view.setBigUint64(16, BigInt(HUGE_PAGE), true);
  ask(NR.ioctl, enclave, NE.NE_SET_USER_MEMORY_REGION, at);
  record.fill(0);
  for (let vcpu = 0; vcpu < 2; vcpu++) {
    record.fill(0);
    ask(NR.ioctl, enclave, NE.NE_ADD_VCPU, at);
  }
  record.fill(0);
  ask(NR.ioctl, enclave, NE.NE_START_ENCLAVE, at);
  const socket = open(NR.socket, AF.VSOCK, SOCK.STREAM | SOCK.NONBLOCK, 0);
  view.setUint16(0, AF.VSOCK, true);
  view.setUint32(4, 9000, true);
  view.setUint32(8, 3, true);
  ask(NR.bind, socket, at, SOCKADDR_VM_BYTES);
  call(NR.listen, socket, 1);
  const client = open(NR.socket, AF.VSOCK, SOCK.STREAM, 0);
  ask(NR.connect, client, at, SOCKADDR_VM_BYTES);
  open(NR.accept4, socket, 0, 0, SOCK.NONBLOCK);
  ask(NR.exit_group, 0);
  for (const fd of made) closeFd(fd);
}

/** Runs the warm-up; only the compiled code remains. */
export function warmUp(standIn: boolean): void {
  const scenario = defaultScenario;
  const [trace, loop, ledger] = [new Trace(false), new Loop(), new Ledger()];
  const hugePages = new HugePages(scenario, standIn);
  const instance = new Instance(scenario);
  const world = {
    scenario,
    instance,
    trace,
    loop,
    ledger,
    hugePages,
    vsock: new Vsock(instance, loop, trace),
  };
  const driver = new Driver(world);
  const calls = new Calls(world, driver, new Faults(scenario, trace));
  for (let count = 0; count < rounds; count++) {
    round(calls);
    driver.freeReleased();
    hugePages.collect();
  }
  world.vsock.close();
}
