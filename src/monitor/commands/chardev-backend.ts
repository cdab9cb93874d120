/** QMP's ChardevBackend, as chardev-add takes it, turned into what the devices are opened by. */
import * as z from "zod/mini";
import type { Backend, ChardevSpec } from "../../chardev/chardev.ts";
import type { Json } from "../json.ts";
import { CommandError } from "./command.ts";
import { checkShape } from "./validate.ts";

const LOG = { logfile: z.optional(z.string()), logappend: z.optional(z.boolean()) };
const ON = z.optional(z.boolean());

const DATA = {
  null: () => z.strictObject({ ...LOG }),
  stdio: () => z.strictObject({ ...LOG, signal: ON }),
  file: () => z.strictObject({ ...LOG, out: z.string(), append: ON }),
  pipe: () => z.strictObject({ ...LOG, device: z.string() }),
  pty: () => z.strictObject({ ...LOG, path: z.optional(z.string()) }),
  ringbuf: () => z.strictObject({ ...LOG, size: z.optional(z.int()) }),
  socket: () =>
    z.strictObject({
      ...LOG,
      addr: z.strictObject({ type: z.string(), data: z.unknown() }),
      server: ON,
      wait: ON,
      nodelay: ON,
      telnet: ON,
      reconnect: z.optional(z.int()),
      "reconnect-ms": z.optional(z.int()),
    }),
} as const;

const UNIX = () => z.strictObject({ path: z.string() });
const INET = () =>
  z.strictObject({ host: z.string(), port: z.string(), ipv4: ON, ipv6: ON, to: z.optional(z.number()) });

/** Reads a backend for a new device. Throws CommandError. */
export function backendSpec(label: string, value: Json): ChardevSpec {
  const { type, data } = checkShape(
    z.strictObject({ type: z.string(), data: z.unknown() }),
    value,
    "backend",
  );
  const kind = type === "memory" ? "ringbuf" : type;
  if (!Object.hasOwn(DATA, kind)) throw new CommandError(`Parameter 'type' does not accept value '${type}'`);
  const { backend, log } = read(label, kind as keyof typeof DATA, data);
  return { label, typed: `chardev-add ${label}`, backend, mux: false, log };
}

function read(label: string, kind: keyof typeof DATA, data: unknown): Pick<ChardevSpec, "backend" | "log"> {
  const log = (from: {
    logfile?: string | undefined;
    logappend?: boolean | undefined;
  }): ChardevSpec["log"] =>
    from.logfile === undefined ? undefined : { path: from.logfile, append: from.logappend ?? false };
  switch (kind) {
    case "null":
      return { backend: { kind }, log: log(checkShape(DATA.null(), data, "backend.data")) };
    case "stdio": {
      const of = checkShape(DATA.stdio(), data, "backend.data");
      return { backend: { kind, signal: of.signal ?? true }, log: log(of) };
    }
    case "file": {
      const of = checkShape(DATA.file(), data, "backend.data");
      return { backend: { kind, path: of.out, append: of.append ?? false }, log: log(of) };
    }
    case "pipe": {
      const of = checkShape(DATA.pipe(), data, "backend.data");
      return { backend: { kind, path: of.device }, log: log(of) };
    }
    case "pty": {
      const of = checkShape(DATA.pty(), data, "backend.data");
      return { backend: { kind, link: of.path }, log: log(of) };
    }
    case "ringbuf": {
      const of = checkShape(DATA.ringbuf(), data, "backend.data");
      const size = of.size ?? 65_536;
      const refuse = (why: string) => new CommandError(`Failed to add chardev '${label}': ${why}`);
      if (size <= 0 || !Number.isInteger(Math.log2(size))) {
        throw refuse("size of ringbuf chardev must be power of two");
      }
      if (size > 2 ** 30) throw refuse("size of ringbuf chardev is beyond 1G");
      return { backend: { kind, size }, log: log(of) };
    }
    case "socket": {
      const of = checkShape(DATA.socket(), data, "backend.data");
      return { backend: socket(label, of), log: log(of) };
    }
  }
}

function socket(label: string, of: z.output<ReturnType<typeof DATA.socket>>): Backend {
  const server = of.server ?? true;
  const reconnectMs = of["reconnect-ms"] ?? (of.reconnect ?? 0) * 1000;
  const wrong = (option: string, mode: string) =>
    new CommandError(
      `Failed to add chardev '${label}': '${option}' option is incompatible with socket in ${mode} mode`,
    );
  if (server && reconnectMs > 0) throw wrong("reconnect-ms", "server listen");
  if (!server && of.wait !== undefined) throw wrong("wait", "client connect");
  return {
    kind: "socket",
    address: address(of.addr.type, of.addr.data),
    server,
    wait: of.wait ?? server,
    telnet: of.telnet ?? false,
    nodelay: of.nodelay ?? false,
    reconnectMs,
  };
}

function address(type: string, data: unknown): Extract<Backend, { kind: "socket" }>["address"] {
  if (type === "unix") return { kind: "unix", path: checkShape(UNIX(), data, "backend.data.addr.data").path };
  if (type !== "inet") throw new CommandError(`Parameter 'type' does not accept value '${type}'`);
  const { host, port } = checkShape(INET(), data, "backend.data.addr.data");
  const number = Number(port);
  if (!Number.isInteger(number) || number < 0 || number > 65_535) {
    throw new CommandError(`can't parse port number '${port}'`);
  }
  return { kind: "tcp", host, port: number };
}
