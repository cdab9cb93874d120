/** Monitor commands that fail: QEMU's error messages, no effect on the enclave; and the QMP schema. */
import { afterAll, describe, expect, test } from "bun:test";
import { expectNothingLeft, notHere, startLaunch, Workplace } from "../launch/nitro.ts";
import { MonitorClient } from "./client.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const SOCKETS = ["-qmp", "unix:qmp.sock,server=on,wait=off", "-monitor", "unix:hmp.sock,server=on,wait=off"];
const MISSING = "No such file or directory";

function add(type: string, data: object): [string, object] {
  return ["chardev-add", { id: "x", backend: { type, data } }];
}

function change(type: string, data: object): [string, object] {
  return ["chardev-change", { id: "ring", backend: { type, data } }];
}

const unix = (path: string, more = {}) => ({ addr: { type: "unix", data: { path } }, ...more });

/** Each command with its error message. A ring buffer "ring" exists. */
const REFUSED: readonly [[string, object], string][] = [
  [
    ["ringbuf-write", { device: "ring", data: "a%%", format: "base64" }],
    "Base64 data contains invalid characters",
  ],
  [
    ["ringbuf-write", { device: "ring", data: "a", format: "x" }],
    "Parameter 'format' does not accept value 'x'",
  ],
  [add("ringbuf", { size: 1.5 }), "Invalid parameter type for 'backend.data.size', expected: integer"],
  [add("ringbuf", { size: 2 ** 40 }), "Failed to add chardev 'x': size of ringbuf chardev is beyond 1G"],
  [add("ringbuf", { size: -2 }), "Failed to add chardev 'x': size of ringbuf chardev must be power of two"],
  [add("file", {}), "Parameter 'backend.data.out' is missing"],
  [add("file", { out: "/no/such" }), `Failed to add chardev 'x': Could not open '/no/such': ${MISSING}`],
  [
    add("file", { out: "/dev/null", logfile: "/no/log" }),
    `Failed to add chardev 'x': Could not open '/no/log': ${MISSING}`,
  ],
  [
    add("socket", unix("/no/such", { server: false })),
    `Failed to add chardev 'x': Failed to connect to '/no/such': ${MISSING}`,
  ],
  [
    add("socket", unix("/no/such")),
    `Failed to add chardev 'x': Failed to bind socket to /no/such: ${MISSING}`,
  ],
  [add("socket", unix("y".repeat(200))), "Failed to add chardev 'x': a socket's path has at most 107 bytes"],
  [
    change("file", { out: "/no/such" }),
    `Failed to add chardev 'ring': Could not open '/no/such': ${MISSING}`,
  ],
  [
    change("null", { logfile: "/no/log" }),
    `Failed to add chardev 'ring': Could not open '/no/log': ${MISSING}`,
  ],
  [change("stdio", {}), "Failed to add chardev 'ring': cannot use stdio by multiple character devices"],
  [["qmp_capabilities", { enable: [1] }], "Invalid parameter type for 'enable[0]', expected: string"],
  [
    ["qmp_capabilities", { enable: ["oob"] }],
    "Capabilities negotiation is already complete, command ignored",
  ],
];

describe.skipIf(notHere !== undefined)("monitor commands that fail", () => {
  test("monitor commands: failures report QEMU's message and leave nothing behind", async () => {
    const command = here.debug("-serial", "stdio", ...SOCKETS);
    const parent = startLaunch({ command, cwd: here.directory, scenario: { enclave: { heartbeatMs: 1 } } });
    const client = await MonitorClient.connect(here.path("qmp.sock"));
    const ask = async (execute: string, args: object) => {
      client.send(`${JSON.stringify({ execute, arguments: args })}\n`);
      return JSON.parse((await client.until(/"(return|error)": .*\r\n/)).trim().split("\r\n").at(-1) ?? "");
    };
    await client.until(/"QMP".*\r\n/);
    expect((await ask("qmp_capabilities", { enable: [1] })).error.desc).toBe(
      "Invalid parameter type for 'enable[0]', expected: string",
    );
    expect(await ask("qmp_capabilities", {})).toEqual({ return: {} });
    const ring = { id: "ring", backend: { type: "ringbuf", data: { size: 16 } } };
    expect(await ask("chardev-add", ring)).toEqual({ return: {} });
    for (const [[execute, args], desc] of REFUSED) {
      expect((await ask(execute, args)).error?.desc).toBe(desc);
    }
    const line = { "command-line": "chardev-change ring null,id=other" };
    expect(await ask("human-monitor-command", line)).toEqual({
      return: "Error: Unexpected 'id' parameter\r\n",
    });
    const written = { device: "ring", data: "aGk=", format: "base64" };
    expect(await ask("ringbuf-write", written)).toEqual({ return: {} });
    expect(await ask("ringbuf-read", { device: "ring", size: 9 })).toEqual({ return: "hi" });
    expect(await ask("chardev-remove", { id: "x" })).toHaveProperty("error");
    client.send('{"execute":"quit"}');
    const result = await parent.finished();
    expectNothingLeft(result);
    expect(result.status).toBe(0);
  });
});

test.skipIf(notHere !== undefined)(
  "query-qmp-schema: describes every command, argument and event, with all their types",
  async () => {
    const parent = startLaunch({ command: here.debug("-serial", "null", ...SOCKETS), cwd: here.directory });
    const client = await MonitorClient.connect(here.path("qmp.sock"));
    const ask = async (execute: string) => {
      client.send(`${JSON.stringify({ execute })}\n`);
      return JSON.parse((await client.until(/"(return|error)": .*\r\n/)).trim().split("\r\n").at(-1) ?? "")
        .return;
    };
    await client.until(/"QMP".*\r\n/);
    await ask("qmp_capabilities");
    const commands: { name: string }[] = await ask("query-commands");
    const schema: SchemaInfo[] = await ask("query-qmp-schema");
    client.send('{"execute":"quit"}');
    expectNothingLeft(await parent.finished());
    const names = schema.map(({ name }) => name);
    expect(names).toEqual([...new Set(names)]);
    const used = schema.flatMap((info) => [
      ...["arg-type", "ret-type", "element-type"]
        .map((key) => info[key])
        .filter((type) => type !== undefined),
      ...(info.members ?? []).map(({ type }) => type),
    ]);
    expect(used.filter((type) => !names.includes(String(type)))).toEqual([]);
    const kind = (wanted: string) =>
      schema.filter((info) => info["meta-type"] === wanted).map(({ name }) => name);
    expect(kind("command").sort()).toEqual(commands.map(({ name }) => name).sort());
    expect(kind("event")).toEqual(["GUEST_PANICKED", "RESUME", "SHUTDOWN", "STOP"]);
    const get = schema.find(({ name }) => name === "qom-get");
    const args = schema.find(({ name }) => name === get?.["arg-type"]);
    expect(args?.members).toEqual([
      { name: "path", type: "str" },
      { name: "property", type: "str" },
    ]);
  },
);

interface SchemaInfo {
  readonly name: string;
  readonly members?: { readonly name: string; readonly type: string }[];
  readonly [key: string]: unknown;
}
