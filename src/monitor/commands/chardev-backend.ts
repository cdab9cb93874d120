/** Converts QMP's ChardevBackend, the argument of chardev-add and chardev-change, into a ChardevSpec. */
import * as z from "zod/mini";
import type { ChardevSpec, SocketBackend } from "../../chardev/chardev.ts";
import { addressFamily } from "../../sys/socket/address.ts";
import type { Json } from "../json.ts";
import { CommandError } from "./command.ts";
import { validate } from "./validate.ts";

const DEFAULT_RING_BYTES = 65_536;
const MAX_RING_BYTES = 2 ** 30;

const OPTIONAL_BOOL = z.optional(z.boolean());
const LOG = { logfile: z.optional(z.string()), logappend: OPTIONAL_BOOL, logtimestamp: OPTIONAL_BOOL };

const BACKEND = z.strictObject({ type: z.string(), data: z.unknown() });
const UNIX_ADDRESS = z.strictObject({ path: z.string() });
const FD_ADDRESS = z.strictObject({ str: z.string() });
const INET_ADDRESS = z.strictObject({
  host: z.string(),
  port: z.string(),
  ipv4: OPTIONAL_BOOL,
  ipv6: OPTIONAL_BOOL,
  to: z.optional(z.number()),
});

/** The `data` of each kind of backend. */
const DATA = {
  null: z.strictObject({ ...LOG }),
  stdio: z.strictObject({ ...LOG, signal: OPTIONAL_BOOL }),
  file: z.strictObject({ ...LOG, out: z.string(), append: OPTIONAL_BOOL }),
  pipe: z.strictObject({ ...LOG, device: z.string() }),
  pty: z.strictObject({ ...LOG, path: z.optional(z.string()) }),
  ringbuf: z.strictObject({ ...LOG, size: z.optional(z.int()) }),
  socket: z.strictObject({
    ...LOG,
    addr: z.strictObject({ type: z.string(), data: z.unknown() }),
    server: OPTIONAL_BOOL,
    wait: OPTIONAL_BOOL,
    nodelay: OPTIONAL_BOOL,
    telnet: OPTIONAL_BOOL,
    reconnect: z.optional(z.int()),
    "reconnect-ms": z.optional(z.int()),
  }),
} as const;

/** Validates a ChardevBackend. Throws CommandError. */
export function parseBackend(label: string, value: Json): ChardevSpec {
  const { type, data } = validate(BACKEND, value, "backend");
  const kind = type === "memory" ? "ringbuf" : type;
  if (!Object.hasOwn(DATA, kind)) throw new CommandError(`Parameter 'type' does not accept value '${type}'`);
  const { backend, log } = parseData(label, kind as keyof typeof DATA, data);
  return { label, typed: `chardev-add ${label}`, backend, mux: false, log };
}

type Parsed = Pick<ChardevSpec, "backend" | "log">;

function parseData(label: string, kind: keyof typeof DATA, value: unknown): Parsed {
  switch (kind) {
    case "null": {
      const data = validate(DATA.null, value, "backend.data");
      return { backend: { kind }, log: logOf(data) };
    }
    case "stdio": {
      const data = validate(DATA.stdio, value, "backend.data");
      return { backend: { kind, signal: data.signal ?? true }, log: logOf(data) };
    }
    case "file": {
      const data = validate(DATA.file, value, "backend.data");
      return { backend: { kind, path: data.out, append: data.append ?? false }, log: logOf(data) };
    }
    case "pipe": {
      const data = validate(DATA.pipe, value, "backend.data");
      return { backend: { kind, path: data.device }, log: logOf(data) };
    }
    case "pty": {
      const data = validate(DATA.pty, value, "backend.data");
      return { backend: { kind, link: data.path }, log: logOf(data) };
    }
    case "ringbuf": {
      const data = validate(DATA.ringbuf, value, "backend.data");
      return { backend: { kind, size: ringSize(label, data.size) }, log: logOf(data) };
    }
    case "socket": {
      const data = validate(DATA.socket, value, "backend.data");
      return { backend: socketBackend(label, data), log: logOf(data) };
    }
  }
}

function logOf(data: {
  logfile?: string | undefined;
  logappend?: boolean | undefined;
  logtimestamp?: boolean | undefined;
}): ChardevSpec["log"] {
  if (data.logfile === undefined) return undefined;
  return { path: data.logfile, append: data.logappend ?? false, timestamp: data.logtimestamp ?? false };
}

function addError(label: string, why: string): CommandError {
  return new CommandError(`Failed to add chardev '${label}': ${why}`);
}

function ringSize(label: string, size = DEFAULT_RING_BYTES): number {
  if (size <= 0 || !Number.isInteger(Math.log2(size)))
    throw addError(label, "size of ringbuf chardev must be power of two");
  if (size > MAX_RING_BYTES) throw addError(label, "size of ringbuf chardev is beyond 1G");
  return size;
}

function socketBackend(label: string, data: z.output<typeof DATA.socket>): SocketBackend {
  const server = data.server ?? true;
  const reconnectMs = data["reconnect-ms"] ?? (data.reconnect ?? 0) * 1000;
  const incompatible = (option: string, mode: string) =>
    addError(label, `'${option}' option is incompatible with socket in ${mode} mode`);
  if (server && reconnectMs > 0) throw incompatible("reconnect-ms", "server listen");
  if (!server && data.wait !== undefined) throw incompatible("wait", "client connect");
  const address = parseAddress(data.addr.type, data.addr.data);
  if (address.kind === "fd" && reconnectMs > 0)
    throw addError(label, "'reconnect-ms' option is incompatible with 'fd' address type");
  return {
    kind: "socket",
    address,
    server,
    wait: data.wait ?? server,
    telnet: data.telnet ?? false,
    nodelay: data.nodelay ?? false,
    reconnectMs,
  };
}

function parseAddress(type: string, data: unknown): SocketBackend["address"] {
  const parent = "backend.data.addr.data";
  if (type === "unix") return { kind: "unix", path: validate(UNIX_ADDRESS, data, parent).path };
  if (type === "fd") return { kind: "fd", fd: validate(FD_ADDRESS, data, parent).str };
  if (type !== "inet") throw new CommandError(`Parameter 'type' does not accept value '${type}'`);
  const { host, port: text, ipv4, ipv6 } = validate(INET_ADDRESS, data, parent);
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new CommandError(`can't parse port number '${text}'`);
  if (ipv4 === false && ipv6 === false) throw new CommandError("Cannot disable IPv4 and IPv6 at same time");
  return { kind: "tcp", host, port, family: addressFamily(ipv4, ipv6) };
}
