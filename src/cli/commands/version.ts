/** `nitro version`; `nitro -version` is `nitro version -qemu`. */
import { version } from "../../../package.json" with { type: "json" };
import { emulatorVersion } from "../../monitor/version.ts";
import { KERNEL_ARCHITECTURE } from "../../sys/architecture.ts";
import { defineSubcommand } from "./subcommand.ts";

/** The command. */
export const versionCommand = defineSubcommand({
  meta: {
    name: "version",
    description: "print the version, the architecture and the runtime",
    usage: ["version [-qemu]"],
    examples: ["version"],
    exitStatus: "0",
  },
  args: {
    qemu: {
      type: "boolean",
      description: "begin with QEMU's version, for programs that parse it, as -version does",
    },
  },
  run: ({ args }) => {
    const own = `nitro ${version} (${KERNEL_ARCHITECTURE}, Bun ${Bun.version})\n`;
    return { output: args.has("qemu") ? `${emulatorVersion(version)}${own}` : own };
  },
});
