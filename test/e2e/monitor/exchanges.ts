/** The inputs of the recorded exchanges, and the functions that send them to nitro or QEMU. */
import type { ParentRun } from "../../emulated-parent/run.ts";
import { MonitorClient } from "./client.ts";

/** One exchange: an input, and the output up to the next prompt or response. */
export interface Exchange {
  /** The protocol; "keys" is HMP with the echo of the line editor. */
  readonly face: "hmp" | "qmp" | "keys";
  readonly send: string;
  readonly answer: string;
}

/** HMP command lines, in order: an answer may depend on the lines before it. */
export const HMP_LINES = [
  "info status",
  "info version",
  "info name",
  "info uuid",
  "info memdev",
  "info memory_size_summary",
  "info qtree",
  "info qtree -b",
  "info cpus",
  "info chardev",
  "qom-get /machine/peripheral/nitro-vsock enclave-cid",
  "qom-get /machine/peripheral/nitro-vsock type",
  "qom-get /machine/peripheral/nitro-vsock realized",
  "qom-get /machine/peripheral/nitro-vsock nosuch",
  "qom-get /machine/peripheral/nitro-vsock nitro-vsock",
  "qom-get /machine type",
  "qom-get /machine append",
  "qom-get /machine memory-backend",
  "qom-get /machine graphics",
  "qom-get /nosuch x",
  "qom-get /machine",
  "qom-get peripheral type",
  "qom-list",
  "qom-list /",
  "qom-list /machine/peripheral",
  "qom-list /machine/peripheral/nitro-vsock",
  "qom-list /machine/peripheral/nitro-vsock/nitro-vsock",
  "qom-list /backend",
  "qom-list /nosuch",
  "qom-set /machine/peripheral/nitro-vsock enclave-cid 3",
  "qom-set / type x",
  "nosuch",
  "info nosuch",
  "info status extra",
  "quit 1 2",
  "help nosuch",
  "chardev-add null,id=c1",
  "chardev-add null,id=c1",
  "chardev-add nosuch,id=c2",
  "chardev-add null",
  "chardev-add",
  "chardev-change nosuch null",
  "chardev-change",
  "chardev-remove c1",
  "chardev-remove c1",
  "chardev-remove compat_monitor0",
  "chardev-add ringbuf,id=ring",
  "ringbuf_write ring hello",
  "ringbuf_read ring 10",
  "ringbuf_read nosuch 10",
  "ringbuf_read ring x",
  "ringbuf_read ring",
  'ringbuf_write ring "a\\tb"',
  'ringbuf_write ring "a\\"b\\\\c\\rd"',
  "ringbuf_read ring 10",
  "ringbuf_read serial0 10",
  "chardev-add null,id=a b",
  "chardev-add null,id=m1,mux=on",
  "chardev-remove m1",
  "chardev-change c null,id=x",
  "chardev-add file,id=f,path=/nosuch/f",
  "chardev-add pipe,id=p,path=/nosuch/p",
  "chardev-add socket,id=s,path=/nosuch/s",
  "chardev-add socket,id=s,path=s,wait=off",
  "chardev-add socket,id=s,path=s,server=on,wait=off,reconnect-ms=5",
  "chardev-add socket,id=s,host=127.0.0.1,port=1",
  "chardev-add ringbuf,id=odd,size=1000",
  "info qom-tree /nosuch",
  "qom-get nitro-vsock enclave-cid",
  'qom-get "" type',
  "qom-get /machine memory",
  "qom-get /objects/ram host-nodes",
  "qom-get /objects/ram seal",
  "qom-list nitro-vsock",
  "qom-set -x / type a",
  "info qtree -x",
  "q x",
  "   info    status   ",
  "INFO STATUS",
  "system_powerdown",
  "stop",
  "cont",
  "system_reset",
] as const;

/** HMP lines with editing keys. The whole echo is compared. */
export const KEYS = [
  "info name",
  "\x1b[A",
  "info vXrsion\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7fe\x05\x15info name",
  "abc\x01xyz\x15info name",
  "abc def\x17\x17info name",
  "abc\x08\x08\x08info name",
  "abc\x1b[D\x1b[C\x1b[D\x05\x15info name",
  "abc\x1b[1~x\x1b[4~y\x1b[3~\x15info name",
  "abc\x1b[D\x04\x15info name",
  "info na\x09",
  "qom-l\x09\x15info name",
  "\x1b[C\x1b[D\x1b[D\x7fab\x1b[C\x15info name",
  "\x1bb\x1bf\x1b[5~\x15info name",
  "\x0cinfo \x0cname",
  "\x00\x1c\x1d\x15info name",
] as const;

const get = (property: unknown, more: object = {}) => ({
  execute: "qom-get",
  arguments: { path: "/machine/peripheral/nitro-vsock", property, ...more },
});
const chardev = (id: string, type: string, data: object = {}) => ({
  execute: "chardev-add",
  arguments: { id, backend: { type, data } },
});
const human = (line: string) => ({ execute: "human-monitor-command", arguments: { "command-line": line } });

/** QMP inputs, in order. */
export const QMP_LINES: readonly string[] = [
  { execute: "query-status" },
  { execute: "qmp_capabilities" },
  { execute: "qmp_capabilities" },
  { execute: "query-status", id: 1 },
  { execute: "query-status", id: { deep: [1, "two", null] } },
  '{"execute":"query-status","id":12345678901234567890}',
  { execute: "query-version" },
  { execute: "query-name" },
  { execute: "query-uuid" },
  { execute: "query-memdev" },
  { execute: "query-memory-size-summary" },
  { execute: "query-cpus-fast" },
  { execute: "query-accelerators" },
  { execute: "query-target" },
  { execute: "query-current-machine" },
  get("enclave-cid"),
  get(3),
  get("nosuch"),
  get("enclave-cid", { extra: 1 }),
  { execute: "qom-get" },
  { execute: "qom-get", arguments: { path: "/nosuch", property: "x" } },
  { execute: "qom-list", arguments: { path: "/machine/peripheral" } },
  { execute: "qom-list", arguments: { path: "/nosuch" } },
  { execute: "qom-list", arguments: { path: "" } },
  {
    execute: "qom-set",
    arguments: { path: "/machine/peripheral/nitro-vsock", property: "enclave-cid", value: 4 },
  },
  { execute: "nosuch", id: 7 },
  { execute: "query-status", arguments: { x: 1 } },
  { execute: "query-status", arguments: 3 },
  { execute: "query-status", extra: 1 },
  { execute: 3 },
  { arguments: {} },
  "[1, 2]",
  "3",
  "{bad json}",
  '{"a"}',
  '{"a":}',
  "[1 2]",
  '{"execute": foo}',
  "'single'",
  "{'execute': 'query-status'}",
  human("info status"),
  human("nosuch"),
  human("qom-get /x y"),
  human(""),
  chardev("n1", "null"),
  chardev("n1", "null"),
  chardev("n2", "nosuch"),
  chardev("r1", "ringbuf", { size: 1000 }),
  chardev("r1", "ringbuf", { size: 1024 }),
  { execute: "ringbuf-write", arguments: { device: "r1", data: "hello" } },
  { execute: "ringbuf-read", arguments: { device: "r1", size: 3 } },
  { execute: "ringbuf-read", arguments: { device: "nosuch", size: 3 } },
  { execute: "chardev-change", arguments: { id: "n1", backend: { type: "null", data: {} } } },
  { execute: "chardev-change", arguments: { id: "nosuch", backend: { type: "null", data: {} } } },
  { execute: "chardev-send-break", arguments: { id: "n1" } },
  { execute: "chardev-remove", arguments: { id: "r1" } },
  { execute: "chardev-remove", arguments: { id: "r1" } },
  { execute: "chardev-remove", arguments: { id: "serial0" } },
  get("enclave-cid", { path: "nitro-vsock" }),
  get("enclave-cid", { path: "" }),
  { execute: "qom-list", arguments: { path: "nitro-vsock" } },
  { execute: "qom-set", arguments: { path: "/nosuch", property: "x", value: 4 } },
  { execute: "query-name", id: `${"\\".repeat(40)}"` },
  '{"execute":"query-name","id":"\\u00e9\\u20ac\\ud83d\\ude00\\u0001"}',
  { ...human("info name"), id: [] },
  { execute: "human-monitor-command", arguments: { "command-line": "info name", "cpu-index": 9 } },
  { execute: "human-monitor-command" },
  chardev("f1", "file", { out: "/nosuch/f" }),
  chardev("f1", "file", { out: "f", append: "x" }),
  chardev("p1", "pipe", { device: "/nosuch/p" }),
  chardev("s1", "socket"),
  chardev("s1", "socket", { addr: { type: "unix", data: {} } }),
  chardev("s1", "socket", { addr: { type: "unix", data: { path: "/nosuch/s" } } }),
  chardev("s1", "socket", { addr: { type: "unix", data: { path: "/nosuch/s" } }, server: false }),
  chardev("s1", "socket", { addr: { type: "unix", data: { path: "s" } }, server: false, wait: true }),
  chardev("s1", "socket", { addr: { type: "unix", data: { path: "s" } }, "reconnect-ms": 5 }),
  chardev("s1", "socket", { addr: { type: "inet", data: { host: "127.0.0.1", port: "1" } }, server: false }),
  { execute: "chardev-add", arguments: { id: "b1", backend: 5 } },
  { execute: "chardev-add", arguments: { id: "b1", backend: { type: 5, data: {} } } },
  { execute: "chardev-add", arguments: { id: "b1" } },
  { execute: "chardev-remove", arguments: { id: 5 } },
  '{"exec-oob":"query-status"}',
  '{"execute":"query-name","id":1,"id":2}',
  '{"a":1,}',
  "}",
  '"\\q"',
  "@",
  "01",
  "--1",
  "-0.5e-1",
  "1.",
  { execute: "system_powerdown" },
  { execute: "stop" },
  { execute: "cont" },
  { execute: "system_reset" },
].map((line) => (typeof line === "string" ? line : JSON.stringify(line)));

/** The launch for both programs. `directory` contains the image's files "kernel" and "initrd". */
export function launchOf(command: readonly string[], directory: string): ParentRun {
  const machine = ["-accel", "nitro,debug-mode=on,enclave-cid=16", "-M", "nitro", "-nographic"];
  const monitors = [
    "-monitor",
    "unix:hmp.sock,server=on,wait=off",
    "-qmp",
    "unix:qmp.sock,server=on,wait=off",
  ];
  const image = ["-kernel", "kernel", "-initrd", "initrd", "-append", "console=ttyS0"];
  const rest = ["-serial", "file:console", "-m", "128M", "-smp", "2", "-name", "guest1"];
  return {
    command: [...command, ...machine, ...monitors, ...image, ...rest],
    cwd: directory,
    scenario: { enclave: { console: ["hello"], heartbeatMs: 1 } },
    limitSeconds: 60,
  };
}

const PROMPT = /\(qemu\) $/;

/** Sends HMP lines one after another; the answers leave out the echo. */
export async function askHmp(path: string, lines: readonly string[]): Promise<Exchange[]> {
  const client = await MonitorClient.connect(path);
  await client.until(PROMPT);
  const exchanges: Exchange[] = [];
  for (const send of lines) {
    client.send(`${send}\n`);
    const text = await client.until(PROMPT);
    const answer = text.slice(text.indexOf("\r\n") + 2).replace(PROMPT, "");
    exchanges.push({ face: "hmp", send, answer });
  }
  client.close();
  return exchanges;
}

/** Types HMP lines; an answer is everything printed from the first key to the next prompt. */
export async function typeKeys(path: string, lines: readonly string[]): Promise<Exchange[]> {
  const client = await MonitorClient.connect(path);
  await client.until(PROMPT);
  const exchanges: Exchange[] = [];
  for (const send of lines) {
    client.send(`${send}\n`);
    // Ctrl-L prints a prompt as well; the one after the submitted line follows a line end.
    exchanges.push({ face: "keys", send, answer: await client.until(/\r\n\(qemu\) $/) });
  }
  client.close();
  return exchanges;
}

/** Sends QMP inputs; an answer includes the events before the response, without their timestamps. */
export async function askQmp(path: string, lines: readonly string[]): Promise<Exchange[]> {
  const client = await MonitorClient.connect(path);
  await client.until(/\r\n/);
  const exchanges: Exchange[] = [];
  for (const send of lines) {
    client.send(`${send}\n`);
    let answer = "";
    do answer += (await client.until(/\r\n/)).replace(/"timestamp": \{.*?\}, /, "");
    while (!/\{("id": .*)?"(return|error)"/.test(answer));
    exchanges.push({ face: "qmp", send, answer });
  }
  client.close();
  return exchanges;
}
