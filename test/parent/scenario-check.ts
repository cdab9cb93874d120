/** From JSON to a Scenario: every key is known and every value of the right kind, or the message says which is not. */

import { trappableCalls } from "./filter.ts";
import { defaultBehaviour, defaultScenario, type EnclaveBehaviour, type Scenario } from "./scenario.ts";
import { errnoNumber, signalNumber } from "./sys/errno.ts";

/** A scenario that cannot be used, with the reason. */
export class ScenarioError extends Error {}

type Check = (value: unknown, where: string) => void;

function wrong(where: string, wanted: string, value: unknown): never {
  throw new ScenarioError(`${where}: ${wanted} expected, not ${JSON.stringify(value)}`);
}

const isBoolean: Check = (value, where) => {
  if (typeof value !== "boolean") wrong(where, "true or false", value);
};
const isText: Check = (value, where) => {
  if (typeof value !== "string") wrong(where, "a text", value);
};
const isCount: Check = (value, where) => {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
    wrong(where, "a whole number from 0 on", value);
};
const isErrno: Check = (value, where) => {
  const known = typeof value === "number" || typeof value === "string" ? errnoNumber(value) : undefined;
  if (known === undefined) wrong(where, "an error's name, or its number from 1 to 4095,", value);
};
const isSignal: Check = (value, where) => {
  if (typeof value !== "string" || signalNumber(value) === undefined) wrong(where, "a signal's name", value);
};

const oneOf =
  (...words: string[]): Check =>
  (value, where) => {
    if (typeof value !== "string" || !words.includes(value)) wrong(where, words.join(" or "), value);
  };
const orNull =
  (check: Check): Check =>
  (value, where) => {
    if (value !== null) check(value, where);
  };
const listOf =
  (check: Check): Check =>
  (value, where) => {
    if (!Array.isArray(value)) wrong(where, "a list", value);
    for (const [index, item] of value.entries()) check(item, `${where}[${index}]`);
  };
const mapOf =
  (check: Check): Check =>
  (value, where) => {
    for (const [key, item] of entriesOf(value, where)) check(item, `${where}.${key}`);
  };

function entriesOf(value: unknown, where: string): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) wrong(where, "an object", value);
  return Object.entries(value);
}

function objectOf(checks: Record<string, Check>, needed: string[] = []): Check {
  return (value, where) => {
    const entries = entriesOf(value, where);
    for (const [key, item] of entries) {
      const check = checks[key];
      if (check === undefined) {
        throw new ScenarioError(
          `${where}: unknown key "${key}"; known are ${Object.keys(checks).sort().join(", ")}`,
        );
      }
      check(item, `${where}.${key}`);
    }
    for (const key of needed) {
      if (!entries.some(([given]) => given === key)) throw new ScenarioError(`${where}: "${key}" is missing`);
    }
  };
}

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
  strangers: listOf(objectOf({ cid: isCount, byte: isCount, afterMs: isCount }, ["cid", "byte", "afterMs"])),
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
};

const isScenario = objectOf(scenarioChecks);

/** Checks what came from outside and fills in the defaults; throws ScenarioError. */
export function checkScenario(input: unknown): Scenario {
  isScenario(input, "scenario");
  const given = input as Partial<Scenario>; // isScenario has just looked at every field
  return { ...defaultScenario, ...given, enclave: { ...defaultBehaviour, ...given.enclave } };
}
