/** The software bill of materials, for programs: CycloneDX 1.6 in JSON (ECMA-424). */
import { name, version } from "../../package.json" with { type: "json" };
import { COMPONENTS, type Component } from "./components.ts";

/** Returns the package URL of a component (package-url/purl-spec). */
function packageUrl({ name, version, source, npm }: Component): string {
  const suffix = version === undefined ? "" : `@${version}`;
  const [, repository] = /^https:\/\/github\.com\/([^/]+\/[^/]+)/.exec(source) ?? [];
  if (npm) return `pkg:npm/${name}${suffix}`;
  if (repository !== undefined) return `pkg:github/${repository.toLowerCase()}${suffix}`;
  return `pkg:generic/${encodeURIComponent(name.toLowerCase())}${suffix}`;
}

/** Returns the document. It has no time stamp and no serial number, so that equal builds have equal documents. */
export function softwareBillOfMaterials(): string {
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": name,
        name,
        version,
        licenses: [{ expression: "Apache-2.0" }],
      },
    },
    components: COMPONENTS.map((component) => ({
      type: component.name === "bun" ? "framework" : "library",
      "bom-ref": component.name,
      name: component.name,
      ...(component.version === undefined ? {} : { version: component.version }),
      licenses: [{ expression: component.license }],
      copyright: component.copyright,
      purl: packageUrl(component),
      externalReferences: [{ type: "vcs", url: component.source }],
    })),
    dependencies: [{ ref: name, dependsOn: COMPONENTS.map((component) => component.name) }],
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
