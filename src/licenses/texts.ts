/** The texts of the licences of all components, from SPDX's list. */
import apache20 from "spdx-license-list/licenses/Apache-2.0.json" with { type: "json" };
import bsd2 from "spdx-license-list/licenses/BSD-2-Clause.json" with { type: "json" };
import bsd3 from "spdx-license-list/licenses/BSD-3-Clause.json" with { type: "json" };
import blessing from "spdx-license-list/licenses/blessing.json" with { type: "json" };
import cc0 from "spdx-license-list/licenses/CC0-1.0.json" with { type: "json" };
import ijg from "spdx-license-list/licenses/IJG.json" with { type: "json" };
import isc from "spdx-license-list/licenses/ISC.json" with { type: "json" };
import lgpl20 from "spdx-license-list/licenses/LGPL-2.0-or-later.json" with { type: "json" };
import lgpl21 from "spdx-license-list/licenses/LGPL-2.1-or-later.json" with { type: "json" };
import mit from "spdx-license-list/licenses/MIT.json" with { type: "json" };
import openssl from "spdx-license-list/licenses/OpenSSL.json" with { type: "json" };
import unicode from "spdx-license-list/licenses/Unicode-3.0.json" with { type: "json" };
import zlib from "spdx-license-list/licenses/Zlib.json" with { type: "json" };

/** A licence by its SPDX identifier. */
export const LICENSE_TEXTS: Readonly<
  Record<string, { readonly name: string; readonly licenseText: string }>
> = {
  "Apache-2.0": apache20,
  "BSD-2-Clause": bsd2,
  "BSD-3-Clause": bsd3,
  "CC0-1.0": cc0,
  IJG: ijg,
  ISC: isc,
  "LGPL-2.0-or-later": lgpl20,
  "LGPL-2.1-or-later": lgpl21,
  MIT: mit,
  OpenSSL: openssl,
  "Unicode-3.0": unicode,
  Zlib: zlib,
  blessing,
};
