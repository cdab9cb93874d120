import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bashCompletion } from "../../../src/cli/completion/bash.ts";
import { describeCommands } from "../../../src/cli/completion/description.ts";
import { fishCompletion } from "../../../src/cli/completion/fish.ts";
import { zshCompletion } from "../../../src/cli/completion/zsh.ts";
import { LAUNCH_OPTIONS } from "../../../src/cli/options/table.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-completion-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const commands = await describeCommands();
const bash = join(directory, "nitro.bash");
writeFileSync(bash, bashCompletion(commands));
writeFileSync(join(directory, "nitro.fish"), fishCompletion(commands));
writeFileSync(join(directory, "_nitro"), zshCompletion(commands));
writeFileSync(join(directory, "kernel image.eif"), "");

function run(...command: string[]): { out: string; err: string } {
  const { stdout, stderr } = Bun.spawnSync(command, { cwd: directory });
  return { out: stdout.toString(), err: stderr.toString() };
}

/** Returns what bash completes a command line with, as readline calls the function. */
function completedByBash(line: string): string[] {
  const script = `source "$0"; COMP_LINE=$1 COMP_POINT=\${#1}; _nitro; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { out, err } = run("bash", "-c", script, bash, line);
  expect(err).toBe("");
  return out.split("\n").filter((word) => word !== "");
}

describe("bash completion", () => {
  test("bash completion: is a valid script, and loads without a message", () => {
    expect(run("bash", "-n", bash)).toEqual({ out: "", err: "" });
    expect(run("bash", "-c", 'source "$0"; complete -p nitro', bash).out).toBe("complete -F _nitro nitro\n");
  });

  test.each([
    ["nitro ", ["check", "pool", "eif", "help", "version", "licenses"]],
    ["nitro -acc", ["-accel"]],
    ["nitro --acc", ["--accel"]],
    ["nitro e", ["eif"]],
    ["nitro eif b", ["build"]],
    ["nitro eif build -ker", ["-kernel"]],
    ["nitro eif build -arch ", ["x86_64", "aarch64"]],
    ["nitro pool ", ["status", "release"]],
    ["nitro pool --mem", ["--memory"]],
    ["nitro check -js", ["-json"]],
    ["nitro check -append -js", []],
    ["nitro help ex", ["exit-status"]],
    ["nitro -serial m", ["mon:stdio"]],
    ["nitro -kernel app.eif -smp c", ["cores=", "cpus="]],
    ["nitro -accel nitro,de", ["nitro,debug-mode="]],
    ["nitro -accel nitro,debug-mode=", ["on", "off"]],
    ["nitro -accel nitro,debug-mode=on,heartbeat-", ["on,heartbeat-timeout=", "on,heartbeat-wait="]],
    ["nitro -kernel ker", ["kernel image.eif"]],
    ["nitro eif describe ker", ["kernel image.eif"]],
    ["nitro -M nitro,ramdisk=ker", ["kernel image.eif"]],
    ["nitro -append ker", []],
  ])("bash completion: %s", (line, args) => {
    expect(completedByBash(line)).toEqual(args);
  });

  test("bash completion: knows every option of a launch, with one dash and two", () => {
    const names = LAUNCH_OPTIONS.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(completedByBash("nitro -").sort()).toEqual(names.map((name) => `-${name}`).sort());
    expect(completedByBash("nitro --").sort()).toEqual(names.map((name) => `--${name}`).sort());
  });
});

describe("completion for other shells", () => {
  test("completion: has every option of a launch", () => {
    for (const { name } of LAUNCH_OPTIONS) {
      expect(zshCompletion(commands)).toContain(`'*--${name}[`);
      expect(fishCompletion(commands)).toContain(
        name.length === 1 ? ` -s ${name} ` : ` -o ${name} -l ${name} `,
      );
    }
  });

  test("completion: quotes apostrophes", () => {
    expect(zshCompletion(commands)).toContain("the kernel'\\''s command line");
    expect(fishCompletion(commands)).toContain("the kernel\\'s command line");
  });

  test.each([
    ["zsh", "_nitro"],
    ["fish", "nitro.fish"],
  ])("completion: %s accepts the script", (shell, file) => {
    expect(run(shell, "-n", join(directory, file))).toEqual({ out: "", err: "" });
  });
});
