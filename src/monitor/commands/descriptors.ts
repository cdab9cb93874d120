/**
 * Commands for file descriptors that a client passes with SCM_RIGHTS: named ones for `addr.type=fd`, and sets that are
 * opened as /dev/fdset/ID. Names are common to all monitors; in QEMU each monitor has its own.
 */
import { type Command, CommandError, integerArgument, stringArgument } from "./command.ts";

const NOT_PASSED = "No file descriptor supplied via SCM_RIGHTS";

/** The command table's rows. */
export const DESCRIPTOR_COMMANDS: readonly Command[] = [
  {
    qmp: "getfd",
    hmp: ["getfd"],
    help: "give a name to a file descriptor that was passed with SCM_RIGHTS",
    args: { fdname: "str" },
    run({ machine, takeDescriptor }, args) {
      const fd = takeDescriptor();
      if (fd === undefined) throw new CommandError(NOT_PASSED);
      const name = stringArgument(args, "fdname");
      if (/^\d/.test(name)) {
        fd.close();
        throw new CommandError("Parameter 'fdname' expects a name not starting with a digit");
      }
      machine.descriptors.name(name, fd);
      return {};
    },
  },
  {
    qmp: "closefd",
    hmp: ["closefd"],
    help: "close a named file descriptor",
    args: { fdname: "str" },
    run({ machine }, args) {
      const name = stringArgument(args, "fdname");
      if (!machine.descriptors.closeNamed(name))
        throw new CommandError(`File descriptor named '${name}' not found`);
      return {};
    },
  },
  {
    qmp: "add-fd",
    help: "add a file descriptor that was passed with SCM_RIGHTS to a set",
    args: { "fdset-id": "int?", opaque: "str?" },
    run({ machine, takeDescriptor }, args) {
      const fd = takeDescriptor();
      if (fd === undefined) throw new CommandError(NOT_PASSED);
      const id = args["fdset-id"] === undefined ? undefined : integerArgument(args, "fdset-id");
      const opaque = args["opaque"] === undefined ? undefined : stringArgument(args, "opaque");
      if (id !== undefined && id < 0) {
        fd.close();
        throw new CommandError("Parameter 'fdset-id' expects a non-negative value");
      }
      return { "fdset-id": machine.descriptors.addToSet(fd, id, opaque), fd: fd.number };
    },
  },
  {
    qmp: "remove-fd",
    help: "remove a file descriptor from a set, or the whole set",
    args: { "fdset-id": "int", fd: "int?" },
    run({ machine }, args) {
      const id = integerArgument(args, "fdset-id");
      const fd = args["fd"] === undefined ? undefined : integerArgument(args, "fd");
      if (machine.descriptors.removeFromSet(id, fd)) return {};
      const what = fd === undefined ? `fdset-id:${id}` : `fdset-id:${id}, fd:${fd}`;
      throw new CommandError(`File descriptor named '${what}' not found`);
    },
  },
  {
    qmp: "query-fdsets",
    help: "show the sets of file descriptors",
    run: ({ machine }) =>
      machine.descriptors.sets().map(({ id, fds }) => ({
        "fdset-id": id,
        fds: fds.map(({ fd, opaque }) => (opaque === undefined ? { fd } : { fd, opaque })),
      })),
  },
];
