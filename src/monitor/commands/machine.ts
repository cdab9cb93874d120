/** Commands about the machine: what it is, how it is, and its end. */

import { qemuVersion } from "../version.ts";
import { type Command, CommandError, items, member } from "./command.ts";

const NO_PAUSE = "an enclave cannot be paused: nothing of it can be reached from the parent";

/** The rows. */
export const MACHINE_COMMANDS: readonly Command[] = [
  {
    qmp: "query-status",
    hmp: ["info status"],
    help: "whether the enclave runs",
    run({ machine }) {
      const status = machine.state();
      return { status, running: status === "running" };
    },
    show(answer) {
      const status = member(answer, "status");
      return `VM status: ${member(answer, "running") === true ? "running" : `paused (${status})`}\n`;
    },
  },
  {
    qmp: "query-version",
    hmp: ["info version"],
    help: "the version of nitro, and of QEMU's interface that it has",
    run: ({ machine }) => qemuVersion(machine.version),
    show(answer) {
      const numbers = member(answer, "qemu");
      const level = ["major", "minor", "micro"].map((part) => member(numbers, part)).join(".");
      return `${level} (${member(answer, "package")})\n`;
    },
  },
  {
    qmp: "query-name",
    hmp: ["info name"],
    help: "the enclave's name, by -name",
    run: ({ machine }) => (machine.name === undefined ? {} : { name: machine.name }),
    show(answer) {
      const name = member(answer, "name");
      return name === null ? "" : `${name}\n`;
    },
  },
  {
    qmp: "query-uuid",
    hmp: ["info uuid"],
    help: "the enclave's UUID, by -uuid",
    run: ({ machine }) => ({ UUID: machine.uuid ?? "00000000-0000-0000-0000-000000000000" }),
    show: (answer) => `${member(answer, "UUID")}\n`,
  },
  {
    qmp: "query-cpus-fast",
    hmp: ["info cpus"],
    help: "the enclave's vCPUs, and the CPUs of the parent that they are",
    run: ({ machine }) =>
      machine.cpus().map((cpu, i) => ({
        "cpu-index": i,
        "qom-path": `/machine/unattached/cpu[${i}]`,
        "thread-id": 0,
        target: targetName(),
        "host-cpu": cpu,
      })),
    show: (answer) =>
      items(answer)
        .map((cpu) => `  CPU #${member(cpu, "cpu-index")}: host CPU ${member(cpu, "host-cpu")}\n`)
        .join(""),
  },
  {
    qmp: "query-memdev",
    hmp: ["info memdev"],
    help: "what the enclave's memory is made of",
    run({ machine: { memory } }) {
      const { share, prealloc, hostNodes, bytes, policy, id } = memory;
      const fixed = { reserve: true, merge: false, dump: false };
      return [{ share, prealloc, ...fixed, "host-nodes": [...hostNodes], size: bytes, policy, id }];
    },
    show: (answer) =>
      `${items(answer)
        .map((one) => {
          const line = (label: string, key: string) => `  ${label}${member(one, key)}\n`;
          return (
            `memory backend: ${member(one, "id")}\n${line("size:  ", "size")}${line("merge: ", "merge")}` +
            `${line("dump: ", "dump")}${line("prealloc: ", "prealloc")}${line("share: ", "share")}` +
            `${line("reserve: ", "reserve")}${line("policy: ", "policy")}` +
            `  host nodes: ${nodesText(items(member(one, "host-nodes")).map(Number))}\n`
          );
        })
        .join("")}\n`,
  },
  {
    qmp: "query-memory-size-summary",
    hmp: ["info memory_size_summary"],
    help: "how much memory the enclave has, in bytes",
    run: ({ machine }) => ({ "base-memory": machine.memory.bytes, "plugged-memory": 0 }),
    show: (answer) =>
      `base memory: ${member(answer, "base-memory")}\nplugged memory: ${member(answer, "plugged-memory")}\n`,
  },
  {
    hmp: ["info qtree"],
    help: "the devices, as a tree (-b: without their properties)",
    words: { usage: "[-b]", read: [], flags: { "-b": "brief" } },
    run: ({ machine }, args) => deviceTree(machine.serial, args["brief"] === true),
    show: (answer) => String(answer),
  },
  {
    qmp: "query-machines",
    help: "the machines that there are: one",
    args: { "compat-props": "bool?" },
    run: () => [
      {
        "hotpluggable-cpus": false,
        name: "nitro",
        "numa-mem-supported": false,
        acpi: false,
        "cpu-max": 4096,
        deprecated: false,
        "default-ram-id": "ram",
        "is-default": true,
      },
    ],
  },
  {
    qmp: "query-accelerators",
    hmp: ["info accelerators"],
    help: "the accelerators that there are: one",
    run: () => ({ enabled: "nitro", present: ["nitro"] }),
    show: () => "[nitro]\n",
  },
  { qmp: "query-kvm", hmp: ["info kvm"], help: "whether KVM is used: never", run: kvm, show: kvmText },
  { qmp: "query-target", help: "the architecture", run: () => ({ arch: targetName() }) },
  {
    qmp: "query-current-machine",
    help: "what the machine can do",
    run: () => ({ "wakeup-suspend-support": false }),
  },
  {
    qmp: "system_powerdown",
    hmp: ["system_powerdown"],
    help: "press the power button, which an enclave's system has to look at to go down",
    run({ emitEvent }) {
      emitEvent("POWERDOWN");
      return {};
    },
  },
  {
    qmp: "quit",
    hmp: ["quit", "q"],
    help: "end the enclave and the launcher",
    run({ machine, emitEvent }) {
      emitEvent("SHUTDOWN", { guest: false, reason: "host-qmp-quit" });
      machine.quit();
      return {};
    },
  },
  {
    qmp: "stop",
    hmp: ["stop", "s"],
    help: "pause the enclave, which cannot be done",
    run() {
      throw new CommandError(NO_PAUSE);
    },
  },
  {
    qmp: "cont",
    hmp: ["cont", "c"],
    help: "start an enclave that waits because of -S",
    run({ machine, emitEvent }) {
      const refusal = machine.start();
      if (refusal !== undefined) throw new CommandError(refusal);
      emitEvent("RESUME");
      return {};
    },
  },
  {
    qmp: "system_reset",
    hmp: ["system_reset"],
    help: "reset the enclave, which cannot be done",
    run() {
      throw new CommandError("an enclave cannot be reset: launch it again");
    },
  },
];

function kvm() {
  return { enabled: false, present: false };
}

function kvmText(): string {
  return "kvm support: not compiled\n";
}

function targetName(): string {
  return process.arch === "arm64" ? "aarch64" : "x86_64";
}

/** QEMU writes node numbers in ranges: 0-1,3. */
function nodesText(nodes: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < nodes.length; i++) {
    const first = nodes[i];
    while (nodes[i + 1] === (nodes[i] ?? 0) + 1) i++;
    parts.push(first === nodes[i] ? `${first}` : `${first}-${nodes[i]}`);
  }
  return parts.join(",");
}

function deviceTree(serial: string | undefined, brief: boolean): string {
  const chardev = brief || serial === undefined ? "" : `        chardev = "${serial}"\n`;
  return (
    "bus: main-system-bus\n  type System\n" +
    '  dev: nitro-vsock-bridge, id "nitro-vsock"\n    bus: nitro-vsock\n      type nitro-vsock-bus\n' +
    `      dev: nitro-serial-vsock, id ""\n${chardev}      dev: nitro-heartbeat, id ""\n`
  );
}
