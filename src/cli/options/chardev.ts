/**
 * Character devices as they are spelled: `-chardev socket,id=ID,path=PATH,server=on`, and the shorter form of -serial,
 * -monitor and -qmp, `unix:PATH,server=on`.
 */
import type { Backend, ChardevSpec, SocketBackend } from "../../chardev/chardev.ts";
import { UserError } from "../../sys/errors.ts";
import { isNumericHost, type SocketAddress } from "../../sys/socket/address.ts";
import { KeyvalError, parseKeyvals } from "../keyval.ts";
import { parseSize, parseUint64 } from "../numbers.ts";
import { check, filePath, given, objectOf, onOff, refuseUnless, type Values } from "./schemas.ts";

const RING_BYTES = 65_536;
const MUX_IDENTIFIER = /^[A-Za-z][A-Za-z0-9\-._]*$/;

function number(name: string) {
  return (text: string): number => Number(given(parseUint64(text), `Parameter '${name}' expects a number`));
}

function port(text: string): number {
  const port = Number(given(parseUint64(text), `port must be a number: '${text}'`));
  refuseUnless(port <= 65_535, `port ${text} is beyond 65535`);
  return port;
}

function host(text: string): string {
  const why = "names of hosts are not looked up: give the address in numbers";
  refuseUnless(isNumericHost(text), `'${text}': ${why}`);
  return text;
}

function ringSize(text: string): number {
  const size = given(parseSize(text, "b"), "Parameter 'size' expects a size");
  refuseUnless(size > 0 && Number.isInteger(Math.log2(size)), "size of ringbuf chardev must be power of two");
  refuseUnless(size <= 2 ** 30, "size of ringbuf chardev is beyond 1G");
  return size;
}

const COMMON = {
  backend: (text: string) => text,
  id: (text: string) => text,
  mux: onOff("mux"),
  logfile: filePath,
  logappend: onOff("logappend"),
};

const PROPERTIES = {
  null: COMMON,
  stdio: { ...COMMON, signal: onOff("signal") },
  file: { ...COMMON, path: filePath, append: onOff("append") },
  pipe: { ...COMMON, path: filePath },
  pty: { ...COMMON, path: filePath },
  ringbuf: { ...COMMON, size: ringSize },
  socket: {
    ...COMMON,
    path: filePath,
    host,
    port,
    server: onOff("server"),
    wait: onOff("wait"),
    telnet: onOff("telnet"),
    nodelay: onOff("nodelay"),
    ipv4: onOff("ipv4"),
    ipv6: onOff("ipv6"),
    reconnect: number("reconnect"),
    "reconnect-ms": number("reconnect-ms"),
  },
};

type Kind = keyof typeof PROPERTIES;

/** `server` is server=on, `nowait` is wait=off. */
function bare(word: string): [string, string] {
  return word.startsWith("no") && word !== "nodelay" ? [word.slice(2), "off"] : [word, "on"];
}

function keyvals(textOfAll: string, typed: string, implied: string): Record<string, string> {
  try {
    return { ...parseKeyvals(textOfAll, implied, [], bare).values };
  } catch (error) {
    throw error instanceof KeyvalError ? new UserError(typed, error.message) : error;
  }
}

function checked<K extends Kind>(kind: K, values: Record<string, string>, typed: string) {
  const result = check(objectOf(PROPERTIES[kind]), values);
  if ("value" in result) return result.value as Values<(typeof PROPERTIES)[K]>;
  const { key, unknownKey, message } = result.complaint;
  throw new UserError(typed, unknownKey ? `Invalid parameter '${key}'` : message);
}

/**
 * What -chardev says. @param label the id where the text has none of its own, as in `chardev-change ID`.
 * Throws UserError, naming the option as it was typed.
 */
export function readChardev(textOfAll: string, typed: string, label?: string): ChardevSpec {
  const values = keyvals(textOfAll, typed, "backend");
  const { backend: name = "", id = label } = values;
  if (label !== undefined && values["id"] !== undefined)
    throw new UserError(typed, "Unexpected 'id' parameter");
  if (id === undefined) throw new UserError(typed, "chardev: no id specified");
  if (!MUX_IDENTIFIER.test(id)) throw new UserError(typed, "Parameter 'id' expects an identifier");
  const kind = name === "memory" ? "ringbuf" : name;
  if (!Object.hasOwn(PROPERTIES, kind)) {
    throw new UserError(
      typed,
      `'${name}' is not a valid char driver name`,
      `use one of ${Object.keys(PROPERTIES).join(", ")}`,
    );
  }
  return specOf(kind as Kind, values, id, typed);
}

function specOf(kind: Kind, values: Record<string, string>, label: string, typed: string): ChardevSpec {
  const { mux, logfile, logappend } = checked(kind, values, typed);
  const log = logfile === undefined ? undefined : { path: logfile, append: logappend ?? false };
  return { label, typed, backend: backendOf(kind, values, typed), mux: mux ?? false, log };
}

function backendOf(kind: Kind, values: Record<string, string>, typed: string): Backend {
  switch (kind) {
    case "null":
      return { kind };
    case "stdio":
      return { kind, signal: checked(kind, values, typed).signal ?? true };
    case "file": {
      const { path, append } = checked(kind, values, typed);
      if (path === undefined) throw new UserError(typed, "chardev: file: no filename given");
      return { kind, path, append: append ?? false };
    }
    case "pipe": {
      const { path } = checked(kind, values, typed);
      if (path === undefined) throw new UserError(typed, "chardev: pipe: no device path given");
      return { kind, path };
    }
    case "pty":
      return { kind, link: checked(kind, values, typed).path };
    case "ringbuf":
      return { kind, size: checked(kind, values, typed).size ?? RING_BYTES };
    case "socket":
      return socketOf(values, typed);
  }
}

function socketOf(values: Record<string, string>, typed: string): SocketBackend {
  const of = checked("socket", values, typed);
  const server = of.server ?? false;
  const seconds = of.reconnect ?? 0;
  const reconnectMs = of["reconnect-ms"] ?? seconds * 1000;
  if (server && reconnectMs > 0)
    throw new UserError(typed, "'reconnect-ms' option is incompatible with socket in server listen mode");
  if (!server && of.wait !== undefined)
    throw new UserError(typed, "'wait' option is incompatible with socket in client connect mode");
  return {
    kind: "socket",
    address: addressOf(of, typed),
    server,
    wait: of.wait ?? server,
    telnet: of.telnet ?? false,
    nodelay: of.nodelay ?? false,
    reconnectMs,
  };
}

function addressOf(
  { path, host, port }: { path?: string | undefined; host?: string | undefined; port?: number | undefined },
  typed: string,
): SocketAddress {
  if (path !== undefined) {
    if (port !== undefined) throw new UserError(typed, "path and port are two sockets; give one of them");
    return { kind: "unix", path };
  }
  if (port === undefined)
    throw new UserError(
      typed,
      `chardev: socket: no ${host === undefined ? "path and no port" : "port"} given`,
    );
  return { kind: "tcp", host: host ?? "", port };
}

/** What -serial, -monitor or -qmp says: a device of its own, the id of another, or none. */
export type DeviceWord =
  | { readonly kind: "spec"; readonly spec: ChardevSpec; readonly withMonitor: boolean }
  | { readonly kind: "label"; readonly label: string }
  | { readonly kind: "none" };

/** Reads the shorter form. @param label the device's label, such as serial0. Throws UserError. */
export function readDeviceWord(word: string, typed: string, label: string): DeviceWord {
  if (word === "none") return { kind: "none" };
  if (word.startsWith("chardev:")) return { kind: "label", label: word.slice("chardev:".length) };
  const withMonitor = word.startsWith("mon:");
  const rest = withMonitor ? word.slice("mon:".length) : word;
  const [kind, values] = shortForm(rest, typed);
  const spec = specOf(kind, values, label, typed);
  // Ctrl-C is a key like others where a monitor shares the terminal.
  const backend: Backend =
    spec.backend.kind === "stdio" && withMonitor ? { kind: "stdio", signal: false } : spec.backend;
  return { kind: "spec", spec: { ...spec, backend, mux: withMonitor || spec.mux }, withMonitor };
}

function shortForm(word: string, typed: string): readonly [Kind, Record<string, string>] {
  const colon = word.indexOf(":");
  const [head, rest] = colon === -1 ? [word, ""] : [word.slice(0, colon), word.slice(colon + 1)];
  if (colon === -1 && (word === "null" || word === "stdio" || word === "pty" || word === "ringbuf"))
    return [word, {}];
  switch (colon === -1 ? "" : head) {
    case "file":
      return ["file", { path: rest }];
    case "pipe":
      return ["pipe", { path: rest }];
    case "pty":
      return ["pty", { path: rest }];
    case "unix":
      return ["socket", keyvals(rest, typed, "path")];
    case "tcp":
      return ["socket", hostAndPort(rest, typed)];
    case "telnet":
      return ["socket", { ...hostAndPort(rest, typed), telnet: "on" }];
  }
  throw new UserError(
    typed,
    `'${word}' is not a valid char driver`,
    "use stdio, mon:stdio, file:PATH, null, none, pty, pipe:PATH, unix:PATH[,server=on], tcp:HOST:PORT[,server=on], " +
      "telnet:HOST:PORT[,server=on], chardev:ID",
  );
}

/** `HOST:PORT,…`; an IPv6 address stands in brackets. */
function hostAndPort(rest: string, typed: string): Record<string, string> {
  const parts = /^(?:\[([^\]]*)\]|([^:,]*)):([^,]*)(?:,(.*))?$/s.exec(rest);
  if (parts === null)
    throw new UserError(typed, `'${rest}' is not HOST:PORT`, "tcp:127.0.0.1:4444,server=on,wait=off");
  const [, six, four, port = "", options = ""] = parts;
  const more = options === "" ? {} : keyvals(`port=${port},${options}`, typed, "port");
  return { ...more, host: six ?? four ?? "", port };
}
