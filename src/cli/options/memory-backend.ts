/** -object memory-backend-memfd: what the enclave's memory consists of. */
import { HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { always, identifier, integer, numberList, oneOf, rule, size } from "./values.ts";

const HUGE = "an enclave's memory consists of huge pages only";
const SHARED = "the memory is donated as a mapping of a shared file";
const ALLOCATED = "the driver accepts only memory that is allocated";

/** The properties of -object memory-backend-memfd. */
export const MEMORY_BACKEND = {
  id: { schema: identifier, required: true, help: "the name that -machine memory-backend= refers to" },
  size: { schema: () => size("b").check(notZero("size")), required: true, help: "the size of the memory" },
  hugetlb: { schema: () => always("on", HUGE), help: "always on", default: "on" },
  hugetlbsize: {
    schema: pageSize,
    help: "the size of its pages: 2M, 1G, or another size of /sys/kernel/mm/hugepages from 2M on",
    default: "1G for each whole GiB that is free, 2M for the rest",
  },
  "host-nodes": {
    schema: () => numberList(MAX_NODE, "nodes", "NUMA nodes, such as 0 or 0-1"),
    repeats: true,
    help: "the NUMA nodes that it comes from, together with policy",
  },
  policy: {
    schema: () => oneOf(["default", "preferred", "bind", "interleave"]),
    help: "how host-nodes is applied",
    default: "default",
  },
  prealloc: { schema: () => always("on", ALLOCATED), help: "always on", default: "on" },
  "prealloc-threads": {
    schema: threadCount,
    help: "threads that allocate and zero it, 1 to 256",
    default: "nitro chooses",
  },
  reserve: { schema: () => always("on", ALLOCATED) },
  share: { schema: () => always("on", SHARED), help: "always on", default: "on" },
  seal: { schema: () => always("on", "the file is closed before its size could change") },
  merge: {
    schema: () =>
      always("off", "huge pages cannot be merged, and the parent cannot read an enclave's memory"),
  },
  dump: { schema: () => always("off", "an enclave's memory cannot be dumped by the launcher") },
} as const;

function notZero(name: string) {
  const message = `property '${name}' of memory-backend-memfd doesn't take value '0'`;
  return rule<number>((value) => value !== 0, message);
}

function pageSize() {
  return size("b").check(
    rule<number>(
      (bytes) => bytes >= HUGE_PAGE_BYTES && Number.isInteger(Math.log2(bytes)),
      "must be a size of /sys/kernel/mm/hugepages from 2M on, such as 2M or 1G",
    ),
  );
}

/** The kernel's node masks have at most 1024 bits (MAX_NUMNODES). */
const MAX_NODE = 1023;
/** More threads would only wait for one another. */
const MAX_THREADS = 256;

function threadCount() {
  return integer(0, 2 ** 32 - 1, "uint32").check(
    notZero("prealloc-threads"),
    rule<number>((threads) => threads <= MAX_THREADS, `must be 1 to ${MAX_THREADS}`),
  );
}
