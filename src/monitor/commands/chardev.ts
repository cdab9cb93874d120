/** Commands that list, add, replace and remove character devices, and access ring buffers. */
import { UserError } from "../../sys/errors.ts";
import type { ChardevsView } from "../machine-view.ts";
import { parseBackend } from "./chardev-backend.ts";
import {
  type Arguments,
  type Command,
  CommandError,
  integerArgument,
  itemsOf,
  memberOf,
  stringArgument,
} from "./command.ts";

/** QEMU's rule for ids: id_wellformed() in util/id.c. */
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9\-._]*$/;

const BACKENDS = ["null", "stdio", "file", "pipe", "pty", "ringbuf", "memory", "socket"];

/** The command table's rows. */
export const CHARDEV_COMMANDS: readonly Command[] = [
  {
    qmp: "query-chardev",
    hmp: ["info chardev"],
    help: "show the character devices",
    run: ({ machine }) =>
      machine.chardevs
        .list()
        .map(({ label, filename, frontendOpen }) => ({ "frontend-open": frontendOpen, filename, label })),
    print: (result) =>
      itemsOf(result)
        .map((chardev) => `${memberOf(chardev, "label")}: filename=${memberOf(chardev, "filename")}\n`)
        .join(""),
  },
  {
    qmp: "query-chardev-backends",
    help: "show the supported character device backends",
    run: () => BACKENDS.map((name) => ({ name })),
  },
  {
    qmp: "chardev-add",
    help: "add a character device",
    args: { id: "str", backend: "ChardevBackend" },
    run({ machine: { chardevs } }, args) {
      const id = stringArgument(args, "id");
      const spec = parseBackend(id, args["backend"] ?? null);
      // QEMU accepts any id here, but then cannot address some of the devices in other commands.
      if (!IDENTIFIER.test(id)) throw new CommandError(`Invalid character device id '${id}'`);
      if (chardevs.has(id)) throw new CommandError(`Chardev with id '${id}' already exists`);
      withCommandErrors(`Failed to add chardev '${id}': `, () => chardevs.open(spec));
      const { filename = "" } = chardevs.list().find(({ label }) => label === id) ?? {};
      return filename.startsWith("pty:") ? { pty: filename.slice("pty:".length) } : {};
    },
  },
  {
    qmp: "chardev-change",
    help: "replace the backend of a character device",
    args: { id: "str", backend: "ChardevBackend" },
    run({ machine: { chardevs } }, args) {
      const id = stringArgument(args, "id");
      const spec = parseBackend(id, args["backend"] ?? null);
      requireReplaceable(chardevs, id);
      withCommandErrors(`Failed to add chardev '${id}': `, () => chardevs.change(spec));
      return {};
    },
  },
  {
    hmp: ["chardev-add"],
    help: "add a character device, in the syntax of -chardev",
    hmpArgs: { usage: "args", positional: [{ name: "args", type: "str" }] },
    run({ machine: { chardevs } }, args) {
      const spec = withCommandErrors("", () => chardevs.parse(stringArgument(args, "args")));
      if (chardevs.has(spec.label)) {
        throw new CommandError(
          `attempt to add duplicate property '${spec.label}' to object (type 'container')`,
        );
      }
      withCommandErrors("", () => chardevs.open(spec));
      return {};
    },
  },
  {
    hmp: ["chardev-change"],
    help: "replace the backend of a character device, in the syntax of -chardev",
    hmpArgs: {
      usage: "id args",
      positional: [
        { name: "id", type: "str" },
        { name: "args", type: "str" },
      ],
    },
    run({ machine: { chardevs } }, args) {
      const id = stringArgument(args, "id");
      const spec = withCommandErrors("", () => chardevs.parse(stringArgument(args, "args"), id));
      requireReplaceable(chardevs, id);
      withCommandErrors("", () => chardevs.change(spec));
      return {};
    },
  },
  {
    qmp: "chardev-remove",
    hmp: ["chardev-remove"],
    help: "remove a character device that is not in use",
    args: { id: "str" },
    run({ machine: { chardevs } }, args) {
      const id = stringArgument(args, "id");
      if (!chardevs.has(id)) throw new CommandError(`Chardev '${id}' not found`);
      if (chardevs.isBusy(id)) throw new CommandError(`Chardev '${id}' is busy`);
      chardevs.remove(id);
      return {};
    },
  },
  {
    qmp: "chardev-send-break",
    hmp: ["chardev-send-break"],
    help: "send a break on a character device (ignored: no backend is a serial line)",
    args: { id: "str" },
    run({ machine: { chardevs } }, args) {
      const id = stringArgument(args, "id");
      if (!chardevs.has(id)) throw new CommandError(`Chardev '${id}' not found`);
      return {};
    },
  },
  {
    qmp: "ringbuf-write",
    hmp: ["ringbuf_write"],
    help: "write to a ring buffer",
    args: { device: "str", data: "str", format: "str?" },
    hmpArgs: {
      usage: "device data",
      positional: [
        { name: "device", type: "str" },
        { name: "data", type: "str" },
      ],
    },
    run({ machine: { chardevs } }, args) {
      const device = existingDevice(chardevs, args);
      const data = stringArgument(args, "data");
      const bytes = isBase64(args) ? decodeBase64(data) : new TextEncoder().encode(data);
      if (!chardevs.writeRing(device, bytes)) throw notRingBuffer(device);
      return {};
    },
  },
  {
    qmp: "ringbuf-read",
    hmp: ["ringbuf_read"],
    help: "read from a ring buffer",
    args: { device: "str", size: "int", format: "str?" },
    hmpArgs: {
      usage: "device size",
      positional: [
        { name: "device", type: "str" },
        { name: "size", type: "int" },
      ],
    },
    run({ machine: { chardevs } }, args) {
      const device = existingDevice(chardevs, args);
      const size = integerArgument(args, "size");
      if (size <= 0) throw new CommandError("size must be greater than zero");
      const bytes = chardevs.readRing(device, size);
      if (bytes === undefined) throw notRingBuffer(device);
      return isBase64(args) ? bytes.toBase64() : new TextDecoder().decode(bytes);
    },
    print: (result) => `${escapeForTerminal(String(result))}\n`,
  },
];

/** Escapes as QEMU's hmp_ringbuf_read() does, so that control characters do not reach the terminal. */
function escapeForTerminal(text: string): string {
  const hex = (character: string) => character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return text.replaceAll("\\", "\\\\").replace(/(?![\n\t])[\p{Cc}]/gu, (character) => `\\u${hex(character)}`);
}

function isBase64({ format = "utf8" }: Arguments): boolean {
  if (format === "utf8" || format === "base64") return format === "base64";
  throw new CommandError(`Parameter 'format' does not accept value '${String(format)}'`);
}

function decodeBase64(data: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(data);
  } catch {
    throw new CommandError("Base64 data contains invalid characters");
  }
}

function existingDevice(chardevs: ChardevsView, args: Arguments): string {
  const device = stringArgument(args, "device");
  if (!chardevs.has(device)) throw new CommandError(`Device '${device}' not found`);
  return device;
}

function notRingBuffer(device: string): CommandError {
  return new CommandError(`${device} is not a ringbuf device`);
}

function requireReplaceable(chardevs: ChardevsView, id: string): void {
  if (!chardevs.has(id)) throw new CommandError(`Chardev '${id}' does not exist`);
  if (chardevs.isMux(id)) throw new CommandError("Mux device hotswap not supported yet");
}

/** Converts a UserError into QEMU's message: after the prefix, without the errno name at its end. */
function withCommandErrors<T>(prefix: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new CommandError(prefix + error.why.replace(/ \(E[A-Z0-9]+\)$/, ""));
  }
}
