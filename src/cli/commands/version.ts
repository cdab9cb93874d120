/** `nitro version`, which `nitro -version` prints as well. */
import { version } from "../../../package.json" with { type: "json" };
import { KERNEL_ARCHITECTURE } from "../../sys/architecture.ts";
import { defineSubcommand } from "./subcommand.ts";

/** The command. */
export const versionCommand = defineSubcommand({
  meta: {
    name: "version",
    description: "print the version, the architecture and the runtime",
    usage: ["version"],
    examples: ["version"],
    exitStatus: "0",
  },
  args: {},
  run: () => ({ output: `nitro ${version} (${KERNEL_ARCHITECTURE}, Bun ${Bun.version})\n` }),
});
