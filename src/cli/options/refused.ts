/** QEMU's options that an enclave cannot have, with the reason and what to use instead. */

/** A reason that several options share, and what to do instead. */
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
      "drive blockdev hda hdb hdc hdd cdrom fda fdb mtdblock sd pflash snapshot fsdev virtfs iscsi set",
  },
  {
    why: "an enclave has no network card",
    hint: "vsock is its only connection: run a proxy on the parent instance",
    options: "netdev net nic",
  },
  {
    why: "an enclave has no devices but its CPUs, its memory, vsock and the debug console",
    options:
      "device usb usbdevice global audio audiodev soundhw tpmdev watchdog watchdog-action parallel " +
      "acpitable smbios fw_cfg numa mem-path mem-prealloc",
  },
  {
    why: "an enclave has no display",
    hint: "its console goes to stdout, or to -serial file:PATH",
    options: "vnc spice sdl gtk curses full-screen g alt-grab ctrl-grab no-frame no-quit rotate portrait k",
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
    why: "QEMU 11 has removed this option: -run-with replaces it",
    hint: "use -run-with user=NAME or -run-with user=UID:GID",
    options: "runas",
  },
  {
    why: "QEMU 11 has removed this option: -run-with replaces it",
    hint: "use -run-with chroot=DIR",
    options: "chroot",
  },
  {
    why: "this version of nitro does not support it",
    options:
      "writeconfig overcommit action compat trace fips async-teardown preconfig qtest qtest-log nodefconfig debugcon",
  },
];

/** Returns why an option of QEMU's is refused; undefined if QEMU has none of that name (without dashes). */
export function refusalOf(name: string): Omit<Refusal, "options"> | undefined {
  return REFUSALS.find(({ options }) => options.split(/\s+/).includes(name));
}
