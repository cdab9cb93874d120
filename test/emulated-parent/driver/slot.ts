/** An enclave as the driver sees it, from NE_CREATE_VM to the close of its last descriptor. */
import type { Enclave } from "../enclave/enclave.ts";
import type { GuestMemory } from "./guest-memory.ts";

/** A range that the launcher has donated. */
export interface DonatedRange {
  address: number;
  length: number;
}

/** The driver's record of one enclave. */
export interface Slot {
  /** Counted from 1. */
  number: number;
  /** What NE_CREATE_VM wrote back. */
  uid: bigint;
  /** The process whose address space it belongs to. */
  owner: number;
  /** Our end of the pipe whose other end is the enclave's descriptor; closed once the enclave has exited. */
  writeEnd: number | undefined;
  /** The watch that ends when the launcher's last descriptor is closed. */
  watch: number;
  /** The identity of the file that the launcher's descriptor refers to. */
  identity: string;
  /** The NUMA node that its memory must be on, which is that of the pool's CPUs. */
  node: number | undefined;
  state: "init" | "running" | "stopped";
  vcpus: number[];
  ranges: DonatedRange[];
  memory: GuestMemory;
  /** Regions as the device counts them: physically contiguous runs. */
  regions: number;
  /** Whether the whole image has been found in the memory. */
  imageSeen: boolean;
  cid: number;
  /** The running enclave, after its start. */
  enclave?: Enclave;
}
