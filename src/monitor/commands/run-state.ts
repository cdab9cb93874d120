/** Commands that query or change the run state: query-status, cont, stop, system_powerdown, system_reset, quit. */
import { type Command, CommandError, memberOf } from "./command.ts";

/** The command table's rows. */
export const RUN_STATE_COMMANDS: readonly Command[] = [
  {
    qmp: "query-status",
    hmp: ["info status"],
    help: "show the run state of the enclave",
    run({ machine }) {
      const status = machine.state();
      return { status, running: status === "running" };
    },
    print(result) {
      const running = memberOf(result, "running") === true;
      return `VM status: ${running ? "running" : `paused (${memberOf(result, "status")})`}\n`;
    },
  },
  {
    qmp: "system_powerdown",
    hmp: ["system_powerdown"],
    help: "press the power button (not supported)",
    run() {
      throw new CommandError(
        "an enclave has no power button: QEMU would send ACPI's power-down event, which nothing in an enclave " +
          "receives; quit stops the enclave",
      );
    },
  },
  {
    qmp: "quit",
    hmp: ["quit", "q"],
    help: "terminate the enclave and exit",
    run({ machine, emitEvent }) {
      emitEvent("SHUTDOWN", { guest: false, reason: "host-qmp-quit" });
      machine.quit();
      return {};
    },
  },
  {
    qmp: "stop",
    hmp: ["stop", "s"],
    help: "pause the enclave (not supported)",
    run() {
      throw new CommandError("an enclave cannot be paused: the parent instance has no access to its vCPUs");
    },
  },
  {
    qmp: "cont",
    hmp: ["cont", "c"],
    help: "start an enclave that was launched with -S",
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
    help: "reset the enclave (not supported)",
    run() {
      throw new CommandError("an enclave cannot be reset: launch it again");
    },
  },
];
