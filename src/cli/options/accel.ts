/** -accel: how the enclave runs, which CPUs it gets, its heartbeat, and what its image must measure. */
import type { HeartbeatOptions, LaunchOptions, MeasureOptions } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import type { PropertyValues } from "./option.ts";
import { type ParsedOptions, typedProperty, typedText } from "./parsed-options.ts";
import { enclaveCid, integer, numberList, oneOf, only, onOff, parsedText, rule } from "./values.ts";

const PROPERTIES = {
  accel: {
    schema: () =>
      only("nitro", "an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default"),
  },
  "cpu-ids": {
    schema: cpuIds,
    repeats: true,
    help: "the parent's CPUs for the vCPUs, whole cores of the pool: N,,N or N-N,,N-N",
    default: "the driver chooses",
  },
  "debug-mode": {
    schema: onOff,
    help: "give the enclave a console; its attested PCRs are then zeros",
    default: "off",
  },
  "enclave-cid": {
    schema: enclaveCid,
    help: "the enclave's vsock CID, 4 to 4294967294; 0: one is chosen",
    default: "0",
  },
  heartbeat: {
    schema: () => oneOf(["auto", "require", "none"]),
    help:
      "wait for AWS's init to report that it has booted; " +
      "require: stop an enclave that does not; none: do not listen",
    default: "auto",
  },
  "heartbeat-timeout": {
    schema: () => integer(1, 86_400, "seconds, 1 to 86400"),
    help: "seconds to wait for the heartbeat, 1 to 86400",
    default: "180, more for large images and memories",
  },
  "heartbeat-wait": {
    schema: () => integer(1, 86_400, "seconds, 1 to 86400"),
    help: "seconds to wait for port 9000 while another process holds it, 1 to 86400",
    default: "the holder's time-out if it is known, else 30",
  },
  measure: { schema: onOff, help: "print the image's PCRs", default: "off" },
  "expect-pcr0": { schema: pcr, help: "refuse an image whose PCR0 differs: 96 hexadecimal digits" },
  "expect-pcr1": { schema: pcr, help: "the same for PCR1, kernel and boot ramdisk" },
  "expect-pcr2": { schema: pcr, help: "the same for PCR2, the application" },
  "expect-pcr8": { schema: pcr, help: "the same for PCR8, the signing certificate" },
} as const;

type Accelerator = Partial<PropertyValues<typeof PROPERTIES>>;

/** -accel */
export const ACCEL = {
  name: "accel",
  argument: "nitro[,prop=value...]",
  help: "the accelerator",
  default: "nitro",
  machines: ["nitro"],
  repeats: "refuse",
  properties: PROPERTIES,
  syntax: { implied: "accel", type: "nitro-accel", helpArgument: "nitro,help", shortBooleans: true },
  listing: () => "Accelerators supported by nitro:\nnitro\n",
  group: { name: "accel" },
} as const;

/** The largest CPU number of any kernel (CONFIG_NR_CPUS is at most 8192). */
const MAX_CPU = 8191;

function cpuIds() {
  return numberList(MAX_CPU, "CPUs", "CPUs: N or N-N, joined by ,,").check(
    rule<number[]>(
      (cpus) => !cpus.includes(0),
      "cpu-ids: CPU 0 stays with the parent; no enclave can have it",
    ),
    rule<number[]>(
      (cpus) => repeated(cpus) === undefined,
      (cpus) => `cpu-ids names CPU ${repeated(cpus)} twice`,
    ),
  );
}

function repeated(cpus: readonly number[]): number | undefined {
  return cpus.find((cpu, i) => cpus.indexOf(cpu) < i);
}

function pcr() {
  const parse = (text: string) => (/^[0-9a-f]{96}$/i.test(text) ? text.toLowerCase() : undefined);
  return parsedText(parse, "96 hexadecimal digits, a SHA-384 hash", { type: "string", form: "HEX" });
}

/** The largest CID whose console has a port below VMADDR_PORT_ANY. */
const MAX_DEBUG_CID = 0xfffffffe - 10_000;

/** Throws UserError where the console's port, 10000 + CID, would not exist. */
function checkConsolePort(
  { "debug-mode": debugMode, "enclave-cid": cid = 0n }: Accelerator,
  typed: string,
): void {
  if (!debugMode || cid <= MAX_DEBUG_CID) return;
  throw new UserError(
    typed,
    `the console of CID ${cid} would be at port 10000 + ${cid}, and the last port is 4294967294`,
    `in debug mode use 4 to ${MAX_DEBUG_CID}, or 0 to have one chosen`,
  );
}

/** Reads -accel. Throws UserError. */
export function acceleratorOptions(
  parsed: ParsedOptions,
): Pick<LaunchOptions, "debugMode" | "enclaveCid" | "heartbeat" | "measure" | "cpuIds"> {
  const [first, second] = parsed.of(ACCEL);
  if (first !== undefined && second !== undefined) {
    throw new UserError(
      typedText(second),
      `${typedText(first)} comes before it; QEMU tries a second accelerator if the first is missing, nitro has one`,
      "give all properties in one -accel",
    );
  }
  const accel: Accelerator = parsed.properties(ACCEL);
  const typed = parsed.typed(ACCEL) ?? "";
  checkConsolePort(accel, typed);
  const cpus = accel["cpu-ids"];
  return {
    debugMode: accel["debug-mode"] ?? false,
    enclaveCid: accel["enclave-cid"] ?? 0n,
    heartbeat: heartbeatOptions(accel, typed),
    measure: measureOptions(accel),
    cpuIds: cpus && first && { value: cpus, typed: typedProperty(first, "cpu-ids") },
  };
}

function heartbeatOptions(accel: Accelerator, typed: string): HeartbeatOptions {
  const { heartbeat: policy = "auto" } = accel;
  for (const name of ["heartbeat-timeout", "heartbeat-wait"] as const) {
    if (policy !== "none" || accel[name] === undefined) continue;
    throw new UserError(
      typed,
      `heartbeat=none does not wait for a heartbeat, so ${name} has no effect`,
      `leave out ${name}, or use heartbeat=auto or heartbeat=require`,
    );
  }
  const milliseconds = (seconds: number | undefined) => seconds && 1000 * seconds;
  return {
    policy,
    timeoutMs: milliseconds(accel["heartbeat-timeout"]),
    waitMs: milliseconds(accel["heartbeat-wait"]),
  };
}

function measureOptions(accel: Accelerator): MeasureOptions | undefined {
  const expected = ([0, 1, 2, 8] as const).flatMap((index) => {
    const hex = accel[`expect-pcr${index}`];
    return hex === undefined ? [] : [{ index, hex }];
  });
  const report = accel.measure ?? false;
  return report || expected.length > 0 ? { report, expected } : undefined;
}
