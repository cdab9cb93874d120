/** `nitro licenses`: the notices of the libraries in the executable, or its software bill of materials. */

import { thirdPartyNotices } from "../../licenses/notices.ts";
import { softwareBillOfMaterials } from "../../licenses/sbom.ts";
import { defineSubcommand } from "./subcommand.ts";

/** The command. */
export const licensesCommand = defineSubcommand({
  meta: {
    name: "licenses",
    description: "print the licences of everything in the executable",
    usage: ["licenses [-sbom]"],
    examples: ["licenses", "licenses -sbom > nitro.cdx.json"],
    exitStatus: "0",
  },
  args: {
    sbom: {
      type: "boolean",
      description: "print the software bill of materials instead (CycloneDX 1.6, JSON)",
    },
  },
  run: ({ args }) => ({ output: args.has("sbom") ? softwareBillOfMaterials() : thirdPartyNotices() }),
});
