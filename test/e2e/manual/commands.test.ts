/** Every command that the README and the manual show is run, and prints what they show. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { runInParent } from "../../emulated-parent/run.ts";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import { busyboxInitrd } from "../../support/initrd.ts";
import { fakeKernel } from "../launch/images.ts";
import { NITRO, notHere } from "../launch/nitro.ts";
import { matchesShown, type Place, type ShownBlock, shownBlocks } from "./shown-commands.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-manual-"));
const MARK = "--- end of command, status";

beforeAll(() => {
  writeFileSync(join(directory, "bzImage"), fakeKernel());
  writeFileSync(join(directory, "initrd.cpio.gz"), gzipSync(busyboxInitrd("poweroff -f")));
  const subject = ["-subj", "/CN=example", "-days", "30"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", "key.pem"];
  run(["openssl", "req", "-x509", ...key, "-out", "cert.pem", ...subject]);
  const image = ["-kernel", "bzImage", "-initrd", "initrd.cpio.gz", "-append", "console=ttyS0"];
  run([NITRO, "eif", "build", "-arch", "x86_64", "-o", "app.eif", ...image]);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: directory });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
}

const POWER_OFF = ["Hello from the enclave", "reboot: Power down"];

/** The parent instance of a block: one that `nitro pool --cpus 2 --memory 1024` has prepared, unless it says otherwise. */
const PARENTS: Readonly<Record<Exclude<Place, "plain">, ScenarioInput>> = {
  fresh: { topology: "m5.2xlarge" },
  prepared: { topology: "m5.2xlarge", pool: "1,5", hugePages: 512 },
  debug: {
    topology: "m5.2xlarge",
    pool: "1,5",
    hugePages: 512,
    enclave: { console: POWER_OFF, heartbeatMs: 1, liveMs: 300 },
  },
};

/** Runs the commands of a block in one shell; returns what each printed, and its status. */
async function runBlock(block: ShownBlock): Promise<{ printed: string[]; status: number }[]> {
  const program = join(directory, "bin/nitro");
  mkdirSync(dirname(program), { recursive: true });
  rmSync(program, { force: true });
  Bun.spawnSync(["ln", "-s", NITRO, program]);
  const steps = block.commands.map(({ command }) => `${command}\necho "${MARK} $?"`);
  const script = `exec 2>&1; PATH=${dirname(program)}:$PATH\n${steps.join("\n")}\nwait`;
  const command = ["bash", "-c", script];
  const { place } = block;
  const output =
    place === "plain"
      ? Bun.spawnSync(command, { cwd: directory }).stdout.toString()
      : (await runInParent({ command, cwd: directory, limitSeconds: 50, scenario: PARENTS[place] })).stdout;
  return [...output.matchAll(new RegExp(`([\\s\\S]*?)${MARK} (\\d+)\\n`, "g"))].map(
    ([, text = "", status]) => ({
      printed: text.trimEnd() === "" ? [] : text.trimEnd().split("\n"),
      status: Number(status),
    }),
  );
}

describe.skipIf(notHere !== undefined)("a command that a document shows", () => {
  test.each(shownBlocks().map((block) => [`${block.document}:${block.line}`, block] as const))(
    "document: %s works as shown",
    async (_, block) => {
      const results = await runBlock(block);
      expect(results).toHaveLength(block.commands.length);
      for (const [i, { command, output }] of block.commands.entries()) {
        const { printed = [], status } = results[i] ?? {};
        const expected = i === block.commands.length - 1 ? block.status : 0;
        expect({ command, status, printed }).toMatchObject({ command, status: expected });
        if (output.length > 0 && !matchesShown(printed, output)) {
          expect({ command, printed }).toEqual({ command, printed: [...output] });
        }
      }
    },
  );
});
