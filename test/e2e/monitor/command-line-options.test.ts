/** QMP's query-command-line-options on the executable: it reports nitro's own option table. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { launch, notHere, Workplace } from "../launch/nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());
setDefaultTimeout(600_000);

test.skipIf(notHere !== undefined)(
  "query-command-line-options: reports an option with its parameters",
  async () => {
    const requests =
      '{"execute":"qmp_capabilities"}' +
      '{"execute":"query-command-line-options","arguments":{"option":"memory"}}{"execute":"quit"}';
    const command = here.debug("-S", "-serial", "null", "-qmp", "stdio").map((arg) => `'${arg}'`);
    const result = await launch(["sh", "-c", `printf %s '${requests}' | ${command.join(" ")}`], {});
    expect(result.stdout).toContain(
      '{"return": [{"option": "memory", "parameters": [{"name": "size", "type": "size", "help": "the size of the memory"}]}]}',
    );
  },
);
