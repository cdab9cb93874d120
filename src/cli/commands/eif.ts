/** `nitro eif`: the commands for enclave image files. */
import { defineCommand } from "citty";
import type { SubcommandGroup } from "./subcommand.ts";

const meta = {
  name: "eif",
  description: "build, describe, measure, sign and verify image files (EIF)",
} as const;

/** The commands. */
export const eifCommands: SubcommandGroup = {
  ...defineCommand({ meta }),
  meta,
  subCommands: {
    build: async () => (await import("./eif-build.ts")).eifBuild,
    describe: async () => (await import("./eif-describe.ts")).eifDescribe,
    extract: async () => (await import("./eif-extract.ts")).eifExtract,
    pcr: async () => (await import("./eif-pcr.ts")).eifPcr,
    sign: async () => (await import("./eif-sign.ts")).eifSign,
    verify: async () => (await import("./eif-verify.ts")).eifVerify,
  },
};
