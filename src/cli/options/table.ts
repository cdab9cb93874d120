/**
 * Every option that is known, a row each: those of a launch with their help, and QEMU's that an enclave cannot have
 * with the reason. Names and argument forms are QEMU's (qemu-options.hx).
 */

/** An option that a launch takes. */
export interface LaunchOption {
  readonly name: LaunchOptionName;
  /** The same option under another name, as -M is -machine. */
  readonly alias?: string;
  /** What follows it, as help shows it; undefined for a flag. */
  readonly argument?: string;
  readonly help: string;
}

const ROWS = [
  {
    name: "accel",
    argument: "nitro[,prop=value...]",
    help:
      "the accelerator (default: nitro)\n" +
      "  cpu-ids=N-N[,,N-N]  the parent's CPUs for its vCPUs, whole cores (default: the driver picks)\n" +
      "  debug-mode=on|off   give the enclave a console; its attested PCRs are then zeros (default: off)\n" +
      "  enclave-cid=N       the enclave's vsock CID, 4 to 4294967294 (default: 0, one is chosen)\n" +
      "  heartbeat=auto|require|none   wait for AWS's init to tell that it is up; with require, stop an enclave\n" +
      "                      that does not; with none, do not listen (default: auto)\n" +
      "  heartbeat-timeout=N seconds to wait for it (default: 180, more for large images and memories)\n" +
      "  expect-pcr0=HEX     launch nothing that measures otherwise; also expect-pcr1, -pcr2, -pcr8\n" +
      "  measure=on          tell the image's PCRs (default: off)",
  },
  {
    name: "machine",
    alias: "M",
    argument: "nitro[,prop=value...]",
    help:
      "the machine (default: nitro)\n" +
      "  kernel=, initrd=, append=, smp.cpus=, memory.size= as the options of these names\n" +
      "  memory-backend=ID   the -object that the memory is made of\n" +
      "  ramdisk=FILE        a further ramdisk after -initrd's; it may stand more than once\n" +
      "  any-kernel=on       launch whatever -kernel names (default: off)",
  },
  { name: "cpu", argument: "host", help: "the CPU model; an enclave's is the host's" },
  {
    name: "smp",
    argument: "[cpus=]N[,sockets=N][,cores=N][,threads=N]",
    help: "vCPUs, whole cores (default: one core)",
  },
  {
    name: "m",
    argument: "[size=]SIZE",
    help:
      "memory, in MiB without a suffix, in whole huge pages of 2 MiB\n" +
      "(default: four times the image, at least 128M)",
  },
  {
    name: "object",
    argument: "memory-backend-memfd,id=ID,size=SIZE[,prop=value...]",
    help:
      "the memory for -machine memory-backend=ID\n" +
      "  hugetlbsize=2M|1G   the size of its pages (default: 1G for what is wanted whole, 2M for the rest)\n" +
      "  prealloc-threads=N  threads that allocate and zero it (default: nitro chooses)\n" +
      "  host-nodes=N[-N],policy=bind|preferred|interleave   the NUMA nodes that it comes from",
  },
  {
    name: "kernel",
    argument: "FILE",
    help: "the kernel (bzImage; arm64 Image, flat, gzipped or in an EFI zboot image), or a whole EIF",
  },
  { name: "initrd", argument: "FILE", help: "the initial ramdisk" },
  { name: "append", argument: "TEXT", help: "the kernel's command line" },
  {
    name: "serial",
    argument: "TARGET",
    help:
      "the debug console: stdio (the default), mon:stdio, file:PATH, null, none, pty, pipe:PATH,\n" +
      "unix:PATH[,server=on][,wait=off], tcp:HOST:PORT[,...], telnet:HOST:PORT[,...], chardev:ID",
  },
  { name: "monitor", argument: "TARGET", help: "a monitor for people (HMP), on a target as of -serial" },
  { name: "qmp", argument: "TARGET", help: "a monitor for programs (QMP), on a target as of -serial" },
  { name: "qmp-pretty", argument: "TARGET", help: "like -qmp, with JSON over several lines" },
  {
    name: "mon",
    argument: "[chardev=]ID[,mode=readline|control][,pretty=on|off]",
    help: "a monitor on a character device",
  },
  {
    name: "chardev",
    argument: "BACKEND,id=ID[,mux=on][,logfile=PATH][,logappend=on][,prop=value...]",
    help: "a character device: null, stdio, file, pipe, pty, ringbuf, socket ('-chardev help' tells more)",
  },
  { name: "nographic", help: "console and monitor share stdio: Ctrl-A h tells the keys" },
  { name: "display", argument: "none", help: "no display, which an enclave has not" },
  { name: "nodefaults", help: "no default serial port and monitor: no console without -serial" },
  { name: "no-user-config", help: "read no configuration file, which nitro never does" },
  { name: "no-reboot", help: "end when the enclave reboots, which it always does" },
  {
    name: "name",
    argument: "[guest=]NAME[,process=NAME]",
    help: "a name for the enclave, in what is told, and one for the process",
  },
  { name: "uuid", argument: "UUID", help: "the enclave's UUID, which a monitor tells" },
  { name: "S", help: "prepare everything and wait before the start" },
  { name: "no-shutdown", help: "stay when the enclave has ended, until a signal" },
  { name: "daemonize", help: "return once the enclave has started, and stay with it in the background" },
  {
    name: "run-with",
    argument: "[user=NAME|UID|UID:GID][,chroot=DIR][,exit-with-parent=on|off]",
    help: "what the process is like from the start on: its user, its root directory",
  },
  {
    name: "sandbox",
    argument: "on|off",
    help: "from the start on, no system calls but those that an enclave's launcher needs",
  },
  {
    name: "msg",
    argument: "[timestamp=on|off][,guest-name=on|off]",
    help: "what messages begin with",
  },
  { name: "readconfig", argument: "FILE", help: "options from a file in QEMU's format" },
  { name: "pidfile", argument: "FILE", help: "write the process id to FILE; it is removed at the end" },
  { name: "d", argument: "ITEM[,ITEM...]", help: "trace to stderr: syscalls, vsock ('-d help' tells more)" },
  { name: "D", argument: "FILE", help: "write the trace to FILE" },
  { name: "version", help: "print the version" },
  { name: "help", alias: "h", help: "print this help" },
] as const satisfies readonly (Omit<LaunchOption, "name"> & { name: string })[];

/** The names of a launch's options. */
export type LaunchOptionName = (typeof ROWS)[number]["name"];

/** The options of a launch, in the order that help shows them. */
export const LAUNCH_OPTIONS: readonly LaunchOption[] = ROWS;

/** A reason that several of QEMU's options share, and what to do in their place. */
interface Refusal {
  readonly why: string;
  readonly hint?: string;
  readonly options: string;
}

const REFUSALS: readonly Refusal[] = [
  {
    why: "an enclave has no disks",
    hint: "put the files into the initrd, or send them over vsock",
    options:
      "drive blockdev hda hdb hdc hdd cdrom fda fdb mtdblock sd pflash snapshot fsdev virtfs iscsi add-fd set",
  },
  {
    why: "an enclave has no network card",
    hint: "vsock is its only way out: run a proxy on the parent",
    options: "netdev net nic",
  },
  {
    why: "an enclave has no devices but its CPUs, its memory, vsock and the debug console",
    options:
      "device usb usbdevice global audio audiodev soundhw tpmdev watchdog watchdog-action parallel " +
      "acpitable smbios fw_cfg numa mem-path mem-prealloc echr",
  },
  {
    why: "an enclave has no display",
    hint: "its console goes to stdout, or to -serial file:PATH",
    options:
      "vnc spice sdl gtk curses vga full-screen g alt-grab ctrl-grab no-frame no-quit rotate portrait k",
  },
  {
    why: "an enclave has no firmware and boots nothing but its image",
    hint: "use -kernel and -initrd",
    options:
      "bios boot dtb shim option-rom L no-acpi no-hpet no-fd-bootchk rtc semihosting semihosting-config old-param " +
      "prom-env",
  },
  {
    why: "an enclave's memory and CPUs cannot be seen or moved from the parent",
    options:
      "incoming loadvm only-migratable dump-vmstate s gdb icount singlestep one-insn-per-tb dfilter plugin " +
      "perfmap jitdump seed enable-sync-profile",
  },
  {
    why: "only the nitro accelerator launches an enclave",
    hint: "use -accel nitro, which is the default",
    options: "enable-kvm enable-hax xen-domid xen-attach xen-domid-restrict tb-size",
  },
  {
    why: "QEMU 11 has no such option any more: -run-with takes its place",
    hint: "-run-with user=NAME or -run-with user=UID:GID",
    options: "runas",
  },
  {
    why: "QEMU 11 has no such option any more: -run-with takes its place",
    hint: "-run-with chroot=DIR",
    options: "chroot",
  },
  {
    why: "this version of nitro does not have it",
    options:
      "writeconfig overcommit action compat trace fips async-teardown preconfig qtest qtest-log nodefconfig debugcon",
  },
];

/** Why an option of QEMU's is refused, by its name without dashes; undefined where QEMU has no such option. */
export function refusalOf(name: string): Omit<Refusal, "options"> | undefined {
  return REFUSALS.find(({ options }) => options.split(/\s+/).includes(name));
}
