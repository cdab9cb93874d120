/** The notices of everything that the executable contains, for people. */
import { version } from "../../package.json" with { type: "json" };
import { COMPONENTS, type Component } from "./components.ts";
import { LICENSE_TEXTS } from "./texts.ts";

/** LGPL 2.0, section 6, and LGPL 2.1, section 6: a user must be able to relink with a changed library. */
const RELINKING = `JavaScriptCore and tinycc are linked statically under the GNU Library (Lesser)
General Public License. To use changed versions of them, build Bun from its source
(https://github.com/oven-sh/bun and https://github.com/oven-sh/WebKit, at the
versions below), then build nitro with that bun. nitro's source and build script
are published under Apache-2.0.
`;

/** Returns the identifiers in an SPDX expression; an exception counts as a part of its licence. */
export function licenseIdentifiers(expression: string): string[] {
  return expression.split(" AND ").map((term) => term.split(" WITH ")[0] ?? term);
}

function entry({ name, version, license, copyright, source }: Component): string {
  const title = version === undefined ? name : `${name} ${version}`;
  return `${title}\n  licence: ${license}\n  copyright: ${copyright}\n  source: ${source}\n`;
}

/** Returns the notices: the components, then the text of each licence. */
export function thirdPartyNotices(): string {
  const identifiers = new Set(COMPONENTS.flatMap(({ license }) => licenseIdentifiers(license)));
  const texts = [...identifiers].sort().map((identifier) => {
    const { name, licenseText } = LICENSE_TEXTS[identifier] ?? { name: identifier, licenseText: "" };
    return `${"=".repeat(80)}\n${identifier}: ${name}\n\n${licenseText.trim()}\n`;
  });
  return [
    `nitro ${version} is licensed under Apache-2.0. The executable contains these components.\n`,
    RELINKING,
    ...COMPONENTS.map(entry),
    ...texts,
  ].join("\n");
}
