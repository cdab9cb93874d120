/** Commands about character devices. */
import { UserError } from "../../sys/errors.ts";
import { backendSpec } from "./chardev-backend.ts";
import {
  type Arguments,
  type Command,
  type CommandContext,
  CommandError,
  items,
  member,
  text,
  whole,
} from "./command.ts";

/** QEMU's rule for ids. */
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9\-._]*$/;

/** The rows. */
export const CHARDEV_COMMANDS: readonly Command[] = [
  {
    qmp: "query-chardev",
    hmp: ["info chardev"],
    help: "the character devices",
    run: ({ machine }) =>
      machine.chardevs
        .list()
        .map(({ label, filename, frontendOpen }) => ({ "frontend-open": frontendOpen, filename, label })),
    show: (answer) =>
      items(answer)
        .map((one) => `${member(one, "label")}: filename=${member(one, "filename")}\n`)
        .join(""),
  },
  {
    qmp: "query-chardev-backends",
    help: "the kinds of character devices",
    run: () =>
      ["null", "stdio", "file", "pipe", "pty", "ringbuf", "memory", "socket"].map((name) => ({ name })),
  },
  {
    qmp: "chardev-add",
    help: "add a character device",
    args: { id: "str", backend: "ChardevBackend" },
    run({ machine: { chardevs } }, args) {
      const id = text(args, "id");
      const spec = backendSpec(id, args["backend"] ?? null);
      // QEMU takes any, and then cannot be asked for some of them.
      if (!IDENTIFIER.test(id)) throw new CommandError(`Invalid character device id '${id}'`);
      if (chardevs.has(id)) throw new CommandError(`Chardev with id '${id}' already exists`);
      reported(`Failed to add chardev '${id}': `, () => chardevs.open(spec));
      const { filename = "" } = chardevs.list().find(({ label }) => label === id) ?? {};
      return filename.startsWith("pty:") ? { pty: filename.slice("pty:".length) } : {};
    },
  },
  {
    qmp: "chardev-change",
    help: "put another device behind a character device's id",
    args: { id: "str", backend: "ChardevBackend" },
    run(context, args) {
      const id = text(args, "id");
      const spec = backendSpec(id, args["backend"] ?? null);
      changeable(context, id);
      reported(`Failed to add chardev '${id}': `, () => context.machine.chardevs.change(spec));
      return {};
    },
  },
  {
    hmp: ["chardev-add"],
    help: "add a character device, as -chardev does",
    words: { usage: "args", read: [{ name: "args", type: "str" }] },
    run({ machine: { chardevs } }, args) {
      const spec = reported("", () => chardevs.parse(text(args, "args")));
      if (chardevs.has(spec.label)) {
        throw new CommandError(
          `attempt to add duplicate property '${spec.label}' to object (type 'container')`,
        );
      }
      reported("", () => chardevs.open(spec));
      return {};
    },
  },
  {
    hmp: ["chardev-change"],
    help: "put another device behind a character device's id, as -chardev spells it",
    words: {
      usage: "id args",
      read: [
        { name: "id", type: "str" },
        { name: "args", type: "str" },
      ],
    },
    run(context, args) {
      const id = text(args, "id");
      const { chardevs } = context.machine;
      const spec = reported("", () => chardevs.parse(text(args, "args"), id));
      changeable(context, id);
      reported("", () => chardevs.change(spec));
      return {};
    },
  },
  {
    qmp: "chardev-remove",
    hmp: ["chardev-remove"],
    help: "remove a character device that nothing uses",
    args: { id: "str" },
    run({ machine: { chardevs } }, args) {
      const id = text(args, "id");
      if (!chardevs.has(id)) throw new CommandError(`Chardev '${id}' not found`);
      if (chardevs.isBusy(id)) throw new CommandError(`Chardev '${id}' is busy`);
      chardevs.remove(id);
      return {};
    },
  },
  {
    qmp: "chardev-send-break",
    hmp: ["chardev-send-break"],
    help: "send a break on a character device, which none of these has a line for",
    args: { id: "str" },
    run({ machine: { chardevs } }, args) {
      const id = text(args, "id");
      if (!chardevs.has(id)) throw new CommandError(`Chardev '${id}' not found`);
      return {};
    },
  },
  {
    qmp: "ringbuf-write",
    hmp: ["ringbuf_write"],
    help: "write to a ring buffer",
    args: { device: "str", data: "str", format: "str?" },
    words: {
      usage: "device data",
      read: [
        { name: "device", type: "str" },
        { name: "data", type: "str" },
      ],
    },
    run({ machine: { chardevs } }, args) {
      const device = ringBuffer(chardevs, args);
      const data = text(args, "data");
      const bytes = isBase64(args) ? fromBase64(data) : new TextEncoder().encode(data);
      if (!chardevs.writeRing(device, bytes)) throw notRing(device);
      return {};
    },
  },
  {
    qmp: "ringbuf-read",
    hmp: ["ringbuf_read"],
    help: "read what a ring buffer has kept",
    args: { device: "str", size: "int", format: "str?" },
    words: {
      usage: "device size",
      read: [
        { name: "device", type: "str" },
        { name: "size", type: "int" },
      ],
    },
    run({ machine: { chardevs } }, args) {
      const device = ringBuffer(chardevs, args);
      if (whole(args, "size") <= 0) throw new CommandError("size must be greater than zero");
      const bytes = chardevs.readRing(device, whole(args, "size"));
      if (bytes === undefined) throw notRing(device);
      return isBase64(args) ? bytes.toBase64() : new TextDecoder().decode(bytes);
    },
    show: (answer) => `${readable(String(answer))}\n`,
  },
];

/** As QEMU prints what somebody has written: no control character of it reaches a terminal. */
function readable(kept: string): string {
  const code = (character: string) => character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return kept
    .replaceAll("\\", "\\\\")
    .replace(/(?![\n\t])[\p{Cc}]/gu, (character) => `\\u${code(character)}`);
}

/** Whether a ring buffer's data is base64; else it is UTF-8. */
function isBase64(args: Arguments): boolean {
  const { format = "utf8" } = args;
  if (format !== "utf8" && format !== "base64") {
    throw new CommandError(`Parameter 'format' does not accept value '${String(format)}'`);
  }
  return format === "base64";
}

function fromBase64(data: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(data);
  } catch {
    throw new CommandError("Base64 data contains invalid characters");
  }
}

type Chardevs = CommandContext["machine"]["chardevs"];

function ringBuffer(chardevs: Chardevs, args: Arguments): string {
  const device = text(args, "device");
  if (!chardevs.has(device)) throw new CommandError(`Device '${device}' not found`);
  return device;
}

function notRing(device: string): CommandError {
  return new CommandError(`${device} is not a ringbuf device`);
}

function changeable({ machine: { chardevs } }: CommandContext, id: string): void {
  if (!chardevs.has(id)) throw new CommandError(`Chardev '${id}' does not exist`);
  if (chardevs.isMux(id)) throw new CommandError("Mux device hotswap not supported yet");
}

/** A UserError's reason is the command's, in QEMU's words: without the errno's name that the launcher adds. */
function reported<T>(prefix: string, attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    if (error instanceof UserError)
      throw new CommandError(prefix + error.why.replace(/ \(E[A-Z0-9]+\)$/, ""));
    throw error;
  }
}
