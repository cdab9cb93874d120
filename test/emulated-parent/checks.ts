/** Checks of values from outside. Each throws ScenarioError with the key and the expected value. */
import { errnoNumber, signalNumber } from "./sys/errno.ts";

/** A scenario that cannot be used, with the reason. */
export class ScenarioError extends Error {}

/** Checks a value. @param where its key, for the message. */
export type Check = (value: unknown, where: string) => void;

/** Throws ScenarioError with the expected value. */
export function wrong(where: string, wanted: string, value: unknown): never {
  throw new ScenarioError(`${where}: ${wanted} expected, not ${JSON.stringify(value)}`);
}

/** true or false. */
export const isBoolean: Check = (value, where) => {
  if (typeof value !== "boolean") wrong(where, "true or false", value);
};
/** A string. */
export const isText: Check = (value, where) => {
  if (typeof value !== "string") wrong(where, "a text", value);
};
/** A whole number, 0 or more. */
export const isCount: Check = (value, where) => {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
    wrong(where, "a whole number from 0 on", value);
};
/** An error's name or number. */
export const isErrno: Check = (value, where) => {
  const known = typeof value === "number" || typeof value === "string" ? errnoNumber(value) : undefined;
  if (known === undefined) wrong(where, "an error's name, or its number from 1 to 4095,", value);
};
/** A signal's name. */
export const isSignal: Check = (value, where) => {
  if (typeof value !== "string" || signalNumber(value) === undefined) wrong(where, "a signal's name", value);
};

/** One of these values. */
export const oneOf =
  (...words: string[]): Check =>
  (value, where) => {
    if (typeof value !== "string" || !words.includes(value)) wrong(where, words.join(" or "), value);
  };
/** Null, or a value that another check accepts. */
export const orNull =
  (check: Check): Check =>
  (value, where) => {
    if (value !== null) check(value, where);
  };
/** A list. */
export const listOf =
  (check: Check): Check =>
  (value, where) => {
    if (!Array.isArray(value)) wrong(where, "a list", value);
    for (const [index, item] of value.entries()) check(item, `${where}[${index}]`);
  };
/** An object whose values all pass the same check. */
export const mapOf =
  (check: Check): Check =>
  (value, where) => {
    for (const [key, item] of entriesOf(value, where)) check(item, `${where}.${key}`);
  };

function entriesOf(value: unknown, where: string): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) wrong(where, "an object", value);
  return Object.entries(value);
}

/** An object with known keys. */
export function objectOf(checks: Record<string, Check>, needed: string[] = []): Check {
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
