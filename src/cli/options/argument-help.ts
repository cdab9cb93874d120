/** The help that an option's argument asks for, as in `-accel help`. */
import { TRACE_FLAGS } from "../../sys/trace.ts";
import type { Occurrence } from "../argv.ts";
import { KeyvalError, parseKeyvals } from "../keyval.ts";

const ACCEL_HELP = "Accelerators supported by nitro:\nnitro\n";
const ACCEL_PROPERTIES =
  "nitro-accel options:\n" +
  "  cpu-ids=<int>[-<int>]  - the parent's CPUs for its vCPUs, whole cores of the pool: 2-3, or 2-3,,6-7\n" +
  "  debug-mode=<bool>      - give the enclave a console; its attested PCRs are then zeros (default: off)\n" +
  "  enclave-cid=<uint64>   - the enclave's vsock CID, 4 to 4294967294 (default: 0, one is chosen)\n" +
  "  expect-pcr0=<string>   - launch nothing that measures otherwise: 96 hexadecimal digits; also expect-pcr1,\n" +
  "                           expect-pcr2, expect-pcr8 (the signing certificate's)\n" +
  "  heartbeat=<HeartbeatPolicy> - auto, require (an enclave without one is stopped), none (default: auto)\n" +
  "  heartbeat-timeout=<uint64> - seconds, 1 to 86400 (default: 180, more for large images and memories)\n" +
  "  measure=<bool>         - tell the image's PCRs (default: off)\n";
const MACHINE_HELP = "Supported machines are:\nnitro                AWS Nitro Enclave (default)\n";
const MACHINE_PROPERTIES =
  "nitro-machine options:\n" +
  "  accel=<string>         - the accelerator: nitro\n" +
  "  any-kernel=<bool>      - launch whatever -kernel names, as it is (default: off)\n" +
  "  append=<string>        - the kernel's command line, as -append\n" +
  "  initrd=<string>        - the initial ramdisk, as -initrd\n" +
  "  kernel=<string>        - the kernel or EIF, as -kernel\n" +
  "  memory.size=<size>     - the memory, as -m\n" +
  "  memory-backend=<string> - the id of the -object that the memory is made of\n" +
  "  ramdisk=<string>       - a further ramdisk after -initrd's; each ramdisk= is one more\n" +
  "  smp.cpus=<int>         - vCPUs, as -smp; also smp.sockets, smp.cores, smp.threads, smp.maxcpus\n";
const OBJECT_HELP = "List of user creatable objects:\n  memory-backend-memfd\n";
const OBJECT_PROPERTIES =
  "memory-backend-memfd options:\n" +
  "  host-nodes=<int>[-<int>] - NUMA nodes, together with policy\n" +
  "  hugetlb=<bool>         - on, which it always is\n" +
  "  hugetlbsize=<size>     - 2M or 1G (default: 1G for what is wanted whole and can be had, 2M for the rest)\n" +
  "  policy=<HostMemPolicy> - default, preferred, bind, interleave (default: default)\n" +
  "  prealloc=<bool>        - on, which it always is\n" +
  "  prealloc-threads=<uint32> - threads that allocate and zero it (default: nitro chooses)\n" +
  "  share=<bool>           - on, which it always is\n" +
  "  size=<size>            - in bytes, or with k, M, G, T\n";

const CHARDEV_HELP =
  "Available chardev backend types:\n" +
  "  null\n  stdio[,signal=on|off]\n  file,path=PATH[,append=on|off]\n  pipe,path=PATH\n  pty[,path=LINK]\n" +
  "  ringbuf[,size=N]\n  socket,path=PATH | host=ADDRESS,port=N[,server=on|off][,wait=on|off][,telnet=on|off]\n" +
  "         [,nodelay=on|off][,reconnect-ms=N]\n" +
  "each with id=ID[,mux=on|off][,logfile=PATH][,logappend=on|off]\n";

function traceHelp(): string {
  const rows = Object.entries(TRACE_FLAGS).map(([name, help]) => `${name.padEnd(15)} ${help}\n`);
  return `Log items (comma separated):\n${rows.join("")}`;
}

/** The help that an option's argument asks for (`-accel help`, `-M nitro,help`), or undefined. */
export function argumentHelp(occurrence: Occurrence): string | undefined {
  const { name, value } = occurrence;
  if (name === "cpu" && isHelp(value)) return "Available CPUs:\n  host\n";
  if (name === "chardev" && isHelp(value)) return CHARDEV_HELP;
  if (name === "d" && isHelp(value)) return traceHelp();
  if (name === "display" && isHelp(value)) return "Available display backend types:\nnone\n";
  if (name === "object" && isHelp(value)) return OBJECT_HELP;
  if (name === "object" && /,(help|\?)$/.test(value)) return OBJECT_PROPERTIES;
  if (name !== "accel" && name !== "machine") return undefined;
  if (isHelp(value)) return name === "accel" ? ACCEL_HELP : MACHINE_HELP;
  try {
    if (!parseKeyvals(value, "type").help) return undefined;
  } catch (error) {
    if (!(error instanceof KeyvalError)) throw error;
    return undefined; // told in full when the options are checked
  }
  return name === "accel" ? ACCEL_PROPERTIES : MACHINE_PROPERTIES;
}

function isHelp(value: string): boolean {
  return value === "help" || value === "?";
}
