/** Options that print something, read a file of options, or are accepted because scripts for QEMU give them. */
import { filePath, only } from "./values.ts";

/** -readconfig */
export const READCONFIG = {
  name: "readconfig",
  argument: "FILE",
  help: "options from a file in QEMU's format",
  repeats: "append",
  schema: filePath,
} as const;

/** -no-user-config */
export const NO_USER_CONFIG = {
  name: "no-user-config",
  help: "read no configuration file of the user's, which nitro never does",
} as const;

/** -no-reboot */
export const NO_REBOOT = {
  name: "no-reboot",
  help: "exit when the enclave reboots, which nitro always does",
} as const;

/** -display */
export const DISPLAY = {
  name: "display",
  argument: "none",
  help: "no display, which an enclave never has",
  schema: () => only("none", "an enclave has no display: use -display none, or leave it out"),
  listing: () => "Available display backend types:\nnone\n",
} as const;

/** -vga */
export const VGA = {
  name: "vga",
  argument: "none",
  help: "no graphics card, which an enclave never has",
  schema: () => only("none", "an enclave has no graphics card: use -vga none, or leave it out"),
} as const;

/** -version */
export const VERSION = {
  name: "version",
  help: "print QEMU's version, whose command line this is, and nitro's",
} as const;

/** -help */
export const HELP = { name: "help", alias: "h", help: "print this help" } as const;
