/** -chardev: character devices, `socket,id=ID,path=PATH,server=on`. */
import type { Backend, ChardevSpec, SocketBackend } from "../../chardev/chardev.ts";
import { UserError } from "../../sys/errors.ts";
import { addressFamily, isNumericHost } from "../../sys/socket/address.ts";
import { KeyvalError, parseKeyvals } from "../keyval.ts";
import { wrapText } from "../wrap.ts";
import type { Option, Properties, PropertyValues } from "./option.ts";
import { checkProperties, type ParsedOption, type ParsedOptions, typedText } from "./parsed-options.ts";
import { filePath, identifier, integer, onOff, rule, size, text, valueForm } from "./values.ts";

/** Properties of every backend. */
const COMMON = {
  backend: { schema: text },
  id: { schema: identifier, help: "the name that other options refer to" },
  mux: { schema: onOff, help: "let the console and monitors share it", default: "off" },
  logfile: { schema: filePath, help: "also write its output to this file" },
  logappend: { schema: onOff, help: "append to the log file", default: "off" },
  logtimestamp: { schema: onOff, help: "begin each line of the log file with the time", default: "off" },
} as const;

/** A backend: its own properties, and the function that reads them. */
interface BackendRow {
  readonly properties: Properties;
  readonly read: (parsed: ParsedOption) => Backend;
}

function backend<P extends Properties>(
  properties: P,
  build: (values: PropertyValues<P>, typed: string) => Backend,
): BackendRow {
  const read = (parsed: ParsedOption) => {
    const own = { ...parsed, pairs: parsed.pairs.filter(([key]) => !Object.hasOwn(COMMON, key)) };
    return build(checkProperties(CHARDEV, properties, [own]), typedText(parsed));
  };
  return { properties, read };
}

const BACKENDS = {
  null: backend({}, () => ({ kind: "null" })),
  stdio: backend(
    { signal: { schema: onOff, help: "Ctrl-C stops the enclave", default: "on" } },
    ({ signal = true }) => ({ kind: "stdio", signal }),
  ),
  file: backend(
    {
      path: { schema: filePath, help: "the file" },
      append: { schema: onOff, help: "append to the file", default: "off" },
    },
    ({ path, append = false }, typed) => {
      if (path === undefined) throw new UserError(typed, "chardev: file: no filename given");
      return { kind: "file", path, append };
    },
  ),
  pipe: backend({ path: { schema: filePath, help: "the FIFO" } }, ({ path }, typed) => {
    if (path === undefined) throw new UserError(typed, "chardev: pipe: no device path given");
    return { kind: "pipe", path };
  }),
  pty: backend({ path: { schema: () => filePath("LINK"), help: "link to the pty here" } }, ({ path }) => ({
    kind: "pty",
    link: path,
  })),
  ringbuf: backend(
    { size: { schema: ringSize, help: "the buffer's size, a power of two", default: "64k" } },
    ({ size = RING_BYTES }) => ({ kind: "ringbuf", size }),
  ),
  socket: backend(
    {
      path: { schema: filePath, help: "the path of a UNIX socket" },
      fd: { schema: () => text("FD"), help: "the number of an inherited socket" },
      host: {
        schema: host,
        help: "a numeric TCP address",
        default: "all addresses to listen, localhost to connect",
      },
      port: { schema: () => integer(0, 65_535, "a port, 0 to 65535"), help: "a TCP port" },
      server: { schema: onOff, help: "listen; otherwise connect", default: "off" },
      wait: { schema: onOff, help: "wait for the first client before the start", default: "on" },
      telnet: { schema: onOff, help: "speak telnet", default: "off" },
      nodelay: { schema: onOff, help: "set TCP_NODELAY", default: "off" },
      // QEMU reads a lone `nodelay` as delay=off.
      delay: { schema: onOff },
      ipv4: { schema: onOff, help: "use IPv4", default: "on, unless ipv6=on" },
      ipv6: { schema: onOff, help: "use IPv6", default: "on, unless ipv4=on" },
      reconnect: { schema: () => integer(0, MAX_SECONDS, "a number of seconds") },
      "reconnect-ms": {
        schema: () => integer(0, MAX_SECONDS * 1000, "a number of milliseconds"),
        help: "connect again after this time, in milliseconds",
        default: "0, never",
      },
    },
    socketBackend,
  ),
} as const;

/** The name of a backend. */
export type BackendName = keyof typeof BACKENDS;

const RING_BYTES = 65_536;
const MAX_SECONDS = 2 ** 31;

function ringSize() {
  return size("b").check(
    rule<number>(
      (bytes) => bytes > 0 && Number.isInteger(Math.log2(bytes)),
      "size of ringbuf chardev must be power of two",
    ),
    rule<number>((bytes) => bytes <= 2 ** 30, "size of ringbuf chardev is beyond 1G"),
  );
}

function host() {
  return text("ADDRESS").check(
    rule<string>(isNumericHost, (name) => `'${name}': host names are not resolved; give a numeric address`),
  );
}

interface SocketValues {
  readonly path?: string | undefined;
  readonly fd?: string | undefined;
  readonly ipv4?: boolean | undefined;
  readonly ipv6?: boolean | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly server?: boolean | undefined;
  readonly wait?: boolean | undefined;
  readonly telnet?: boolean | undefined;
  readonly nodelay?: boolean | undefined;
  readonly delay?: boolean | undefined;
  readonly reconnect?: number | undefined;
  readonly "reconnect-ms"?: number | undefined;
}

function socketBackend(values: SocketValues, typed: string): Backend {
  const { server = false, wait, telnet = false, delay = true, reconnect = 0 } = values;
  const { nodelay = !delay } = values;
  const { "reconnect-ms": reconnectMs = reconnect * 1000 } = values;
  if (server && reconnectMs > 0)
    throw new UserError(typed, "'reconnect-ms' option is incompatible with socket in server listen mode");
  if (!server && wait !== undefined)
    throw new UserError(typed, "'wait' option is incompatible with socket in client connect mode");
  const address = socketAddress(values, typed);
  if (address.kind === "fd" && reconnectMs > 0)
    throw new UserError(typed, "'reconnect-ms' option is incompatible with 'fd' address type");
  return { kind: "socket", address, server, wait: wait ?? server, telnet, nodelay, reconnectMs };
}

function socketAddress(
  { path, fd, host, port, ipv4, ipv6 }: SocketValues,
  typed: string,
): SocketBackend["address"] {
  if ([path, fd, host].filter((each) => each !== undefined).length > 1)
    throw new UserError(typed, "None or one of 'path', 'fd' or 'host' option required.");
  if ((path !== undefined || fd !== undefined) && port !== undefined)
    throw new UserError(typed, "port is for TCP, with host; leave it out");
  if (path !== undefined) return { kind: "unix", path };
  if (fd !== undefined) return { kind: "fd", fd };
  if (port === undefined) {
    const missing = host === undefined ? "path, no fd and no port" : "port";
    throw new UserError(typed, `chardev: socket: no ${missing} given`);
  }
  if (ipv4 === false && ipv6 === false)
    throw new UserError(typed, "Cannot disable IPv4 and IPv6 at same time");
  return { kind: "tcp", host: host ?? "", port, family: addressFamily(ipv4, ipv6) };
}

/** -chardev */
export const CHARDEV = {
  name: "chardev",
  argument: "BACKEND,id=ID[,mux=on][,logfile=PATH][,logappend=on][,prop=value...]",
  help: "a character device: null, stdio, file, pipe, pty, ringbuf, socket; '-chardev help' describes them",
  repeats: "append",
  /** The properties of all backends together; each backend accepts its own and the common ones. */
  properties: {
    ...COMMON,
    ...BACKENDS.stdio.properties,
    ...BACKENDS.file.properties,
    ...BACKENDS.pipe.properties,
    ...BACKENDS.pty.properties,
    ...BACKENDS.ringbuf.properties,
    ...BACKENDS.socket.properties,
  },
  types: chardevTypes,
  unknownType: (type) => `'${type}' is not a valid char driver name`,
  syntax: { implied: "backend", helpArgument: "TYPE,help", shortBooleans: true },
  listing: backendHelp,
  group: { name: "chardev", hasId: true },
} as const satisfies Option;

/** The properties of each backend with the common ones. */
function chardevTypes(): Readonly<Record<string, Properties>> {
  const types = Object.entries(BACKENDS).map(([name, { properties }]) => [
    name,
    { ...COMMON, ...properties },
  ]);
  return Object.fromEntries(types);
}

/** Returns a line for each backend with its own properties, then the common properties. */
function backendHelp(): string {
  const own = backendNames().map((name) => wrapText(`  ${name}`, formsOf(BACKENDS[name].properties), 8));
  return `Available chardev backend types:\n${own.join("")}each with ${formsOf(COMMON)}\n`;
}

function formsOf(properties: Properties): string {
  return Object.entries(properties)
    .filter(([, { help }]) => help !== undefined)
    .map(([key, { schema }]) => `${key}=${valueForm(schema()).form}`)
    .join(", ");
}

/** The names of the backends. */
function backendNames(): BackendName[] {
  return ["null", "stdio", "file", "pipe", "pty", "ringbuf", "socket"];
}

/** Reads every -chardev. Throws UserError. */
export function chardevOptions(parsed: ParsedOptions): ChardevSpec[] {
  return parsed.of(CHARDEV).map((option) => readBackend(option));
}

/**
 * Reads the device that a monitor's `chardev-add` or `chardev-change` names, in the syntax of -chardev. Throws
 * UserError. @param typed what messages begin with. @param label the device's label, where the text has no id.
 */
export function readChardev(argument: string, typed: string, label?: string): ChardevSpec {
  try {
    const { pairs } = parseKeyvals(argument, CHARDEV.syntax);
    return readBackend({ name: CHARDEV.name, dashed: typed, argument: "", value: "", pairs }, label);
  } catch (error) {
    throw error instanceof KeyvalError ? new UserError(typed, error.message) : error;
  }
}

function readBackend(parsed: ParsedOption, label?: string): ChardevSpec {
  const typed = typedText(parsed);
  const values = new Map(parsed.pairs);
  if (label !== undefined && values.has("id")) throw new UserError(typed, "Unexpected 'id' parameter");
  const id = values.get("id") ?? label;
  if (id === undefined) throw new UserError(typed, "chardev: no id specified");
  const name = values.get("backend") ?? "";
  const known = backendNames().find((each) => each === (name === "memory" ? "ringbuf" : name));
  if (known === undefined) {
    const hint = `use one of ${backendNames().join(", ")}`;
    throw new UserError(typed, CHARDEV.unknownType(name), hint);
  }
  return chardevSpec(known, parsed, id);
}

/** Checks the properties of a backend. Throws UserError. */
export function chardevSpec(name: BackendName, parsed: ParsedOption, label: string): ChardevSpec {
  const common = { ...parsed, pairs: parsed.pairs.filter(([key]) => Object.hasOwn(COMMON, key)) };
  const { mux = false, logfile, logappend, logtimestamp } = checkProperties(CHARDEV, COMMON, [common]);
  const log: ChardevSpec["log"] =
    logfile === undefined
      ? undefined
      : { path: logfile, append: logappend ?? false, timestamp: logtimestamp ?? false };
  return { label, typed: typedText(parsed), backend: BACKENDS[name].read(parsed), mux, log };
}
