/**
 * The enclave behind its descriptor, in the order that the driver allows: create, ask where the image goes,
 * donate memory, add vCPUs, start. Nothing that was added can be taken away: after a failure, close and begin anew.
 * Closing the descriptor stops the enclave and gives its memory and CPUs back before close returns.
 */
import { Fd, openFile } from "../sys/files.ts";
import { callIoctl } from "../sys/ioctl-call.ts";
import { O_RDWR } from "../sys/linux/fcntl.ts";
import {
  NE_ADD_VCPU,
  NE_CREATE_VM,
  NE_EIF_IMAGE,
  NE_ENCLAVE_DEBUG_MODE,
  NE_ENCLAVE_PRODUCTION_MODE,
  NE_GET_IMAGE_LOAD_INFO,
  NE_SET_USER_MEMORY_REGION,
  NE_START_ENCLAVE,
} from "../sys/linux/nitro_enclaves.ts";
import type { System } from "../sys/system.ts";

/** The driver's device node. */
export const DEVICE_PATH = "/dev/nitro_enclaves";

/** Opens the device. Throws SyscallError: ENOENT without the driver, EACCES without the node's group. */
export function openDevice(system: System): Fd {
  return openFile(system, DEVICE_PATH, O_RDWR);
}

/** An enclave that is being made or runs; the scope that owns it ends it. */
export class Enclave implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly owner: Fd,
  ) {}

  /** NE_CREATE_VM: a slot with nothing in it. The device may be closed afterwards. */
  static create(system: System, device: Fd): Enclave {
    // The result is the enclave's descriptor (O_CLOEXEC, set by the driver), the payload only its number.
    const { result } = callIoctl(system, device.number, NE_CREATE_VM, { slot_uid: 0n });
    return new Enclave(system, new Fd(system, result));
  }

  /** Polls as POLLHUP, alone and for good, once the enclave has exited. */
  get fd(): number {
    return this.owner.number;
  }

  /** NE_GET_IMAGE_LOAD_INFO: where in the enclave's memory the image goes, in bytes from its start. */
  imageOffset(): bigint {
    return callIoctl(this.system, this.fd, NE_GET_IMAGE_LOAD_INFO, { flags: NE_EIF_IMAGE, memory_offset: 0n })
      .value.memory_offset;
  }

  /**
   * NE_SET_USER_MEMORY_REGION: gives mapped memory to the enclave, behind what it has already. The image must be in it.
   * @param start its address, @param size bytes.
   */
  donate(start: number, size: number): void {
    callIoctl(this.system, this.fd, NE_SET_USER_MEMORY_REGION, {
      flags: 0n,
      memory_size: BigInt(size),
      userspace_addr: BigInt(start),
    });
  }

  /** NE_ADD_VCPU. @param id a CPU of the pool; without it the driver picks one. Gives its id on the parent. */
  addVcpu(id = 0): number {
    return callIoctl(this.system, this.fd, NE_ADD_VCPU, { vcpu_id: id }).value.vcpu_id;
  }

  /** NE_START_ENCLAVE. @param cid 0 lets the hypervisor choose. Gives the CID that the enclave has. */
  start(cid: bigint, debugMode: boolean): bigint {
    const flags = debugMode ? NE_ENCLAVE_DEBUG_MODE : NE_ENCLAVE_PRODUCTION_MODE;
    return callIoctl(this.system, this.fd, NE_START_ENCLAVE, { flags, enclave_cid: cid }).value.enclave_cid;
  }

  [Symbol.dispose](): void {
    this.owner.close();
  }
}
