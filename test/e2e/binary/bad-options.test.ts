import { expect, test } from "bun:test";
import { firstLine, nitro } from "./nitro.ts";

const DISK = "QEMU reads an argument without a dash as a disk image, and an enclave has no disks";
const ACCEL = "an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default";
const SIZE = "Parameter 'size' expects a size: a number with k, M, G, T, P or E, in MiB without one";
const TOPOLOGY = "Invalid CPU topology: CPU topology parameters must be greater than zero";
const RANGE = "use 4 to 4294967294, or 0 to have one chosen";
const CPU = "an enclave's CPUs are the host's own: use -cpu host, or leave it out";

/** The arguments of a command line, split at blanks, and the first line on standard error after `nitro: `. */
const ROWS: readonly (readonly [args: string, line: string])[] = [
  ["-nosuch", "-nosuch: invalid option"],
  ["--nosuch", "--nosuch: invalid option"],
  ["--", "--: invalid option"],
  ["-Kernel x", "-Kernel: invalid option"],
  ["-m=512", "-m=512: invalid option"],
  ["-m", "-m: requires an argument"],
  ["--append", "--append: requires an argument"],
  ["-kernel x disk.img", `disk.img: ${DISK}`],
  ["-", `-: ${DISK}`],
  ["-drive file=x", "-drive: an enclave has no disks"],
  ["-hda x", "-hda: an enclave has no disks"],
  ["-netdev user", "-netdev: an enclave has no network card"],
  ["-nic none", "-nic: an enclave has no network card"],
  ["-device x", "-device: an enclave has no devices but its CPUs, its memory, vsock and the debug console"],
  ["-vnc :1", "-vnc: an enclave has no display"],
  ["-bios x", "-bios: an enclave has no firmware and boots nothing but its image"],
  ["-incoming x", "-incoming: an enclave's memory and CPUs cannot be seen or moved from the parent"],
  ["-enable-kvm", "-enable-kvm: only the nitro accelerator launches an enclave"],
  ["-kernel k -accel kvm", `-accel kvm: ${ACCEL}`],
  ["-kernel k -accel nitro,bogus=1", "-accel nitro,bogus=1: Property 'nitro-accel.bogus' not found"],
  [
    "-kernel k -accel nitro,enclave-cid=abc",
    "-accel nitro,enclave-cid=abc: Parameter 'enclave-cid' expects uint64",
  ],
  [
    "-kernel k -accel nitro,enclave-cid=3",
    `-accel nitro,enclave-cid=3: CIDs 1, 2 and 3 are reserved: ${RANGE}`,
  ],
  [
    "-kernel k -accel nitro,enclave-cid=4294967295",
    `-accel nitro,enclave-cid=4294967295: a CID has 32 bits: ${RANGE}`,
  ],
  [
    "-kernel k -accel nitro,debug-mode=maybe",
    "-accel nitro,debug-mode=maybe: Parameter 'debug-mode' expects 'on' or 'off'",
  ],
  ["-kernel k -accel nitro,oops", "-accel nitro,oops: Property 'nitro-accel.oops' not found"],
  ["-kernel k -accel nitro,=1", "-accel nitro,=1: Invalid parameter ''"],
  ["-kernel k -M q35", "-M q35: unsupported machine type; use -M nitro, which is the default"],
  ["-kernel k --machine nitro,x=1", "--machine nitro,x=1: Property 'nitro-machine.x' not found"],
  ["-kernel k -cpu max", `-cpu max: ${CPU}`],
  ["-kernel k -display gtk", "-display gtk: an enclave has no display: use -display none, or leave it out"],
  ["-kernel k -m lots", `-m lots: ${SIZE}`],
  ["-kernel k -m -1", `-m -1: ${SIZE}`],
  ["-kernel k -m 1G,x=1", "-m 1G,x=1: Property 'memory.x' not found"],
  ["-kernel k -smp 0", `-smp 0: ${TOPOLOGY}`],
  ["-kernel k -smp two", "-smp two: Parameter 'cpus' expects a whole number, such as 2"],
  ["-kernel k -smp 5000", "-smp 5000: Parameter 'cpus' must be at most 4096"],
  [
    "-kernel k -smp 2,maxcpus=4",
    "-smp 2,maxcpus=4: an enclave's CPUs cannot be added later: maxcpus must equal cpus",
  ],
  [
    "-kernel k -smp 9,sockets=1,cores=2,threads=2",
    "-smp 9,sockets=1,cores=2,threads=2: Invalid CPU topology: sockets × cores × threads is 4, cpus is 9",
  ],
  ["-kernel k -serial tcp:1", "-serial tcp:1: '1' is not HOST:PORT"],
  ["-kernel k -serial file:", "-serial file:: Parameter 'path' expects the name of a file"],
  [
    "-kernel k -serial stdio -serial null",
    "-serial null: an enclave has one serial port, and -serial stdio uses it",
  ],
  ["-kernel k -d bogus", "-d bogus: there is no trace item 'bogus'"],
  ["-kernel k -d toString", "-d toString: there is no trace item 'toString'"],
  ["-kernel k -name guest=", "-name guest=: a name has 1 to 128 printable ASCII characters"],
  [
    `-kernel k -append ${"x".repeat(2100)}`,
    `-append ${"x".repeat(100)}…: it has 2100 bytes; a kernel accepts a command line of at most 2047`,
  ],
];

test.each(ROWS.map(([args, line]) => [line, args] as const))("refused: %s", (line, args) => {
  const { out, err, status } = nitro(args.split(" "));
  expect(firstLine(err)).toBe(`nitro: ${line}`);
  expect({ out, status }).toEqual({ out: "", status: 1 });
});
