/**
 * An enclave behind its file descriptor. The driver requires this order: create, ask for the load offset, donate
 * memory, add vCPUs, start. Nothing can be removed again: after a failure, close the descriptor and start over.
 * Closing it stops the enclave and returns memory and CPUs before close(2) returns.
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

/** Opens the device. Throws SyscallError: ENOENT without the driver, EACCES without group membership. */
export function openDevice(system: System): Fd {
  return openFile(system, DEVICE_PATH, O_RDWR);
}

/** An enclave; disposal stops it. */
export class Enclave implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly owner: Fd,
  ) {}

  /** NE_CREATE_VM: creates an empty enclave. The device may be closed afterwards. */
  static create(system: System, device: Fd): Enclave {
    // The result is the descriptor of the enclave (the driver sets O_CLOEXEC), the payload its slot number.
    const { result } = callIoctl(system, device.number, NE_CREATE_VM, { slot_uid: 0n });
    return new Enclave(system, new Fd(system, result));
  }

  /** The descriptor. poll(2) reports POLLHUP once the enclave has exited. */
  get fd(): number {
    return this.owner.number;
  }

  /** NE_GET_IMAGE_LOAD_INFO: returns the offset of the image in the memory, in bytes. */
  imageOffset(): bigint {
    return callIoctl(this.system, this.fd, NE_GET_IMAGE_LOAD_INFO, { flags: NE_EIF_IMAGE, memory_offset: 0n })
      .value.memory_offset;
  }

  /**
   * NE_SET_USER_MEMORY_REGION: donates mapped memory, appended to what the enclave has. The image must be in it
   * already. @param start address. @param size in bytes.
   */
  donate(start: number, size: number): void {
    callIoctl(this.system, this.fd, NE_SET_USER_MEMORY_REGION, {
      flags: 0n,
      memory_size: BigInt(size),
      userspace_addr: BigInt(start),
    });
  }

  /**
   * NE_ADD_VCPU: adds a CPU of the pool, by default one that the driver chooses. Returns its number on the parent.
   */
  addVcpu(id = 0): number {
    return callIoctl(this.system, this.fd, NE_ADD_VCPU, { vcpu_id: id }).value.vcpu_id;
  }

  /** NE_START_ENCLAVE. @param cid 0 lets the hypervisor choose. Returns the CID. */
  start(cid: bigint, debugMode: boolean): bigint {
    const flags = debugMode ? NE_ENCLAVE_DEBUG_MODE : NE_ENCLAVE_PRODUCTION_MODE;
    return callIoctl(this.system, this.fd, NE_START_ENCLAVE, { flags, enclave_cid: cid }).value.enclave_cid;
  }

  [Symbol.dispose](): void {
    this.owner.close();
  }
}
