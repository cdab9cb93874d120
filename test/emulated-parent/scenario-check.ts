/** Converts JSON into a Scenario: checks that every key is known and every value has the right type. */

import {
  type Check,
  isBoolean,
  isCount,
  isErrno,
  isSignal,
  isText,
  listOf,
  mapOf,
  objectOf,
  oneOf,
  orNull,
  ScenarioError,
  wrong,
} from "./checks.ts";
import { trappableCalls } from "./filter.ts";
import { describe, isHost, isTopology } from "./host-check.ts";
import {
  defaultBehaviour,
  defaultScenario,
  type EnclaveBehaviour,
  type Scenario,
  type ScenarioInput,
} from "./scenario.ts";

const isCall: Check = (value, where) => {
  isText(value, where);
  const name = String(value).split(":")[0] ?? "";
  if (!trappableCalls().includes(name)) {
    throw new ScenarioError(`${where}: unknown call "${value}"; known are ${trappableCalls().join(", ")}`);
  }
};
const isMoment: Check = (value, where) => {
  const match = /^(enter|exit) (.+)$/.exec(String(value));
  if (match === null) wrong(where, '"enter CALL" or "exit CALL"', value);
  isCall(match[2], where);
};

const behaviourChecks: Record<keyof EnclaveBehaviour, Check> = {
  kind: oneOf("model", "boot"),
  heartbeatMs: orNull(isCount),
  heartbeatByte: isCount,
  noHeartbeatFatal: isBoolean,
  liveMs: orNull(isCount),
  console: listOf(isText),
  consoleEveryMs: isCount,
  consoleFloodBytes: isCount,
  consoleDelayMs: isCount,
  consoleStallAfterBytes: orNull(isCount),
  consoleStallMs: isCount,
  foreignHeartbeats: listOf(
    objectOf({ cid: isCount, byte: isCount, afterMs: isCount }, ["cid", "byte", "afterMs"]),
  ),
  silentPeers: isCount,
  heartbeatMarker: isText,
  qemu: isText,
};

const isBehaviour = objectOf(behaviourChecks);

const scenarioChecks: Record<keyof Scenario, Check> = {
  device: isBoolean,
  deviceMode: (value, where) => {
    if (typeof value !== "string" || !/^[0-7]{3,4}$/.test(value))
      wrong(where, 'permissions such as "0660"', value);
  },
  deviceUid: isCount,
  deviceGid: isCount,
  topology: isTopology,
  host: isHost,
  cpus: isCount,
  threadsPerCore: isCount,
  pool: isText,
  memory: oneOf("auto", "real", "stand-in"),
  hugePages: isCount,
  hugePages1G: isCount,
  opens: oneOf("all", "writable"),
  maxRegions: isCount,
  regionBytes: isCount,
  foreignNodePage: orNull(isCount),
  loadOffset: isCount,
  firstCid: isCount,
  takenCids: listOf(isCount),
  maxEnclaves: isCount,
  badImage: oneOf("refuse", "run", "exit"),
  checkWrites: isBoolean,
  vsock: isBoolean,
  takenPorts: listOf(isCount),
  enclave: isBehaviour,
  enclaves: listOf(isBehaviour),
  faults: listOf(objectOf({ call: isCall, errno: isErrno, nth: isCount, delayMs: isCount }, ["call"])),
  signals: listOf(objectOf({ at: isMoment, nth: isCount, afterMs: isCount, signal: isSignal }, ["signal"])),
  files: mapOf(orNull(isText)),
  lingerMs: isCount,
  network: oneOf("own", "machine"),
};

const isScenario = objectOf(scenarioChecks);

/** Checks a scenario from outside and adds the defaults. Throws ScenarioError. */
export function checkScenario(input: unknown): Scenario {
  isScenario(input, "scenario");
  const given = input as ScenarioInput; // isScenario has just looked at every field
  const { topology, host, enclave, ...plain } = given;
  const described = describe(topology, host, plain);
  return { ...defaultScenario, ...described, ...plain, enclave: { ...defaultBehaviour, ...enclave } };
}
