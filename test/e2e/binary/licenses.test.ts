import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../support/packages.ts";

function run(command: readonly string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: ROOT });
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe("nitro licenses", () => {
  test("nitro licenses: prints what dist/THIRD_PARTY contains", () => {
    const { status, stdout } = run(["dist/nitro", "licenses"]);
    expect(status).toBe(0);
    expect(stdout).toBe(readFileSync(join(ROOT, "dist/THIRD_PARTY"), "utf8"));
    expect(stdout).toContain("GNU LIBRARY GENERAL PUBLIC LICENSE");
  });

  test("nitro licenses -sbom: prints what dist/nitro.cdx.json contains", () => {
    const { status, stdout } = run(["dist/nitro", "licenses", "-sbom"]);
    expect(status).toBe(0);
    expect(stdout).toBe(readFileSync(join(ROOT, "dist/nitro.cdx.json"), "utf8"));
  });
});

test("build.ts: refuses to run under a bun that npm did not install", () => {
  const directory = mkdtempSync(join(tmpdir(), "nitro-bun-"));
  try {
    const other = join(directory, "bun");
    copyFileSync(process.execPath, other);
    const { status, stderr } = run([other, "build.ts"]);
    expect(stderr).toContain(`build: this is ${other}, version ${Bun.version}; the build needs version`);
    expect(stderr).toContain("npm ci && npm run build");
    expect(status).toBe(1);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
