import { describe, expect, test } from "bun:test";
import * as cyclonedx from "@cyclonedx/cyclonedx-library";
import { COMPONENTS } from "../../../src/licenses/components.ts";
import { licenseIdentifiers, thirdPartyNotices } from "../../../src/licenses/notices.ts";
import { softwareBillOfMaterials } from "../../../src/licenses/sbom.ts";
import { LICENSE_TEXTS } from "../../../src/licenses/texts.ts";

describe("components", () => {
  test.each(COMPONENTS.map((component) => [component.name, component] as const))(
    "components: %s has licence texts",
    (_, component) => {
      for (const identifier of licenseIdentifiers(component.license)) {
        expect(LICENSE_TEXTS[identifier]?.licenseText.length).toBeGreaterThan(100);
      }
    },
  );

  test("components: every licence text belongs to a component", () => {
    const used = new Set(COMPONENTS.flatMap(({ license }) => licenseIdentifiers(license)));
    expect(Object.keys(LICENSE_TEXTS).filter((identifier) => !used.has(identifier))).toEqual([]);
  });

  test("components: the packages of npm have the versions that are installed", async () => {
    for (const { name, version } of COMPONENTS.filter(({ npm }) => npm)) {
      const installed = await Bun.file(
        `${import.meta.dir}/../../../node_modules/${name}/package.json`,
      ).json();
      expect({ name, version }).toEqual({ name, version: installed.version });
    }
  });

  test("components: every library whose revision the runtime reports is listed", () => {
    // The interfaces that the runtime imitates, and the compilers that it was built with, are no parts of it.
    const imitated = ["node", "openssl", "v8", "uv", "napi", "modules", "unicode", "typescript", "zig"];
    const listed = new Set(COMPONENTS.map(({ version }) => version));
    const missing = Object.entries(process.versions).filter(
      ([name, revision]) => !imitated.includes(name) && !listed.has(revision),
    );
    expect(missing).toEqual([]);
  });
});

describe("thirdPartyNotices", () => {
  test("thirdPartyNotices: contains each component's source and each licence's text", () => {
    const notices = thirdPartyNotices();
    for (const { name, source } of COMPONENTS) {
      expect(notices).toContain(name);
      expect(notices).toContain(source);
    }
    for (const { licenseText } of Object.values(LICENSE_TEXTS)) expect(notices).toContain(licenseText.trim());
  });
});

describe("softwareBillOfMaterials", () => {
  test("softwareBillOfMaterials: is valid CycloneDX 1.6", async () => {
    const validator = new cyclonedx.Validation.JsonStrictValidator(cyclonedx.Spec.Version.v1dot6);
    expect(await validator.validate(softwareBillOfMaterials())).toBeNull();
  });

  test("softwareBillOfMaterials: lists every component with a package URL", () => {
    const { components } = JSON.parse(softwareBillOfMaterials());
    expect(components.map((each: { name: string }) => each.name)).toEqual(COMPONENTS.map(({ name }) => name));
    expect(components.find((each: { name: string }) => each.name === "zod").purl).toMatch(/^pkg:npm\/zod@\d/);
  });
});
