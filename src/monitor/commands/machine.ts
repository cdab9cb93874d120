/** Commands that describe the machine: name, version, vCPUs, memory, devices, accelerator. */
import { versionInfo } from "../version.ts";
import { type Command, itemsOf, memberOf } from "./command.ts";

const NO_UUID = "00000000-0000-0000-0000-000000000000";

/** QMP's name for the architecture that nitro runs on. */
const TARGET = process.arch === "arm64" ? "aarch64" : "x86_64";

/** The command table's rows. */
export const MACHINE_COMMANDS: readonly Command[] = [
  {
    qmp: "query-version",
    hmp: ["info version"],
    help: "show the version of nitro and of the QEMU interface it implements",
    run: ({ machine }) => versionInfo(machine.version),
    print(result) {
      const numbers = memberOf(result, "qemu");
      const version = ["major", "minor", "micro"].map((name) => memberOf(numbers, name)).join(".");
      return `${version} (${memberOf(result, "package")})\n`;
    },
  },
  {
    qmp: "query-name",
    hmp: ["info name"],
    help: "show the enclave's name (-name)",
    run: ({ machine }) => (machine.name === undefined ? {} : { name: machine.name }),
    print(result) {
      const name = memberOf(result, "name");
      return name === null ? "" : `${name}\n`;
    },
  },
  {
    qmp: "query-uuid",
    hmp: ["info uuid"],
    help: "show the enclave's UUID (-uuid)",
    run: ({ machine }) => ({ UUID: machine.uuid ?? NO_UUID }),
    print: (result) => `${memberOf(result, "UUID")}\n`,
  },
  {
    qmp: "query-cpus-fast",
    hmp: ["info cpus"],
    help: "show the enclave's vCPUs and the host CPU of each",
    run: ({ machine }) =>
      machine.cpus().map((cpu, i) => ({
        "cpu-index": i,
        "qom-path": `/machine/unattached/cpu[${i}]`,
        "thread-id": 0,
        target: TARGET,
        "host-cpu": cpu,
      })),
    print: (result) =>
      itemsOf(result)
        .map((cpu) => `  CPU #${memberOf(cpu, "cpu-index")}: host CPU ${memberOf(cpu, "host-cpu")}\n`)
        .join(""),
  },
  {
    qmp: "query-memdev",
    hmp: ["info memdev"],
    help: "show the memory backend",
    run({ machine: { memory } }) {
      const { share, prealloc, hostNodes, bytes, policy, id } = memory;
      const fixed = { reserve: true, merge: false, dump: false };
      return [{ share, prealloc, ...fixed, "host-nodes": [...hostNodes], size: bytes, policy, id }];
    },
    print(result) {
      const backends = itemsOf(result).map((backend) => {
        const of = (name: string) => memberOf(backend, name);
        const nodes = formatRanges(itemsOf(of("host-nodes")).map(Number));
        return (
          `memory backend: ${of("id")}\n  size:  ${of("size")}\n  merge: ${of("merge")}\n  dump: ${of("dump")}\n` +
          `  prealloc: ${of("prealloc")}\n  share: ${of("share")}\n  reserve: ${of("reserve")}\n` +
          `  policy: ${of("policy")}\n  host nodes: ${nodes}\n`
        );
      });
      return `${backends.join("")}\n`;
    },
  },
  {
    qmp: "query-memory-size-summary",
    hmp: ["info memory_size_summary"],
    help: "show the enclave's memory size in bytes",
    run: ({ machine }) => ({ "base-memory": machine.memory.bytes, "plugged-memory": 0 }),
    print: (result) =>
      `base memory: ${memberOf(result, "base-memory")}\nplugged memory: ${memberOf(result, "plugged-memory")}\n`,
  },
  {
    hmp: ["info qtree"],
    help: "show the device tree (-b: without properties)",
    hmpArgs: { usage: "[-b]", positional: [], flags: { "-b": "brief" } },
    run: ({ machine }, args) => deviceTree(machine.serial, args["brief"] === true),
    print: (result) => String(result),
  },
  {
    qmp: "query-machines",
    help: "show the supported machine types",
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
    help: "show the supported accelerators and the active one",
    run: () => ({ enabled: "nitro", present: ["nitro"] }),
    print: () => "[nitro]\n",
  },
  {
    qmp: "query-kvm",
    hmp: ["info kvm"],
    help: "show whether KVM is used (it never is)",
    run: () => ({ enabled: false, present: false }),
    print: () => "kvm support: not compiled\n",
  },
  { qmp: "query-target", help: "show the architecture", run: () => ({ arch: TARGET }) },
  {
    qmp: "query-current-machine",
    help: "show the capabilities of the machine",
    run: () => ({ "wakeup-suspend-support": false }),
  },
];

/** Formats numbers as QEMU's range lists: 0-1,3. */
function formatRanges(numbers: readonly number[]): string {
  const ranges: string[] = [];
  for (let i = 0; i < numbers.length; i++) {
    const first = numbers[i];
    while (numbers[i + 1] === (numbers[i] ?? 0) + 1) i++;
    ranges.push(first === numbers[i] ? `${first}` : `${first}-${numbers[i]}`);
  }
  return ranges.join(",");
}

function deviceTree(serial: string | undefined, brief: boolean): string {
  const chardev = brief || serial === undefined ? "" : `        chardev = "${serial}"\n`;
  return (
    "bus: main-system-bus\n  type System\n" +
    '  dev: nitro-vsock-bridge, id "nitro-vsock"\n    bus: nitro-vsock\n      type nitro-vsock-bus\n' +
    `      dev: nitro-serial-vsock, id ""\n${chardev}      dev: nitro-heartbeat, id ""\n`
  );
}
