/**
 * The zod schemas of option values: text in, a checked value out. Messages are QEMU's where QEMU has
 * one; a message that begins with `expects`, `does not accept` or `must be` is printed with the name of the parameter.
 */
import * as z from "zod/mini";
import { parseOnOff, parseSize, parseUint64 } from "../numbers.ts";

/** How help, completion and QMP describe a value. */
export interface ValueForm {
  /** QEMU's name of the type: bool, uint64, size, string. */
  readonly type: string;
  /** As a user writes it: `on|off`, `N`, `SIZE`, `FILE`. */
  readonly form: string;
  /** The values, where they can be listed. */
  readonly values?: readonly string[];
}

const valueForms = z.registry<ValueForm, z.core.$ZodType>();

function withForm<S extends z.ZodMiniType>(schema: S, form: ValueForm): S {
  valueForms.add(schema as z.ZodMiniType, form);
  return schema;
}

/** Returns the form of the value that a property or a plain argument accepts. */
export function valueForm(schema: z.core.$ZodType): ValueForm {
  const inner = schema instanceof z.ZodMiniArray ? schema.def.element : schema;
  if (inner instanceof z.ZodMiniEnum) {
    const values = Object.keys(inner.def.entries);
    return { type: values.join("|"), form: values.join("|"), values };
  }
  return valueForms.get(inner) ?? { type: "string", form: "TEXT" };
}

/** Text that `parse` converts. @param expected completes "Parameter 'x' expects …" where parse returns undefined. */
export function parsedText<T>(parse: (text: string) => T | undefined, expected: string, form: ValueForm) {
  const convert = z.transform((text: string, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.issues.push({ code: "custom", input: text, message: `expects ${expected}` });
    return z.NEVER;
  });
  return withForm(convert, form);
}

/** A rule for a converted value, with the message for one that breaks it. */
export function rule<T>(holds: (value: T) => boolean, message: string | ((value: T) => string)) {
  const error =
    typeof message === "string" ? message : (issue: { input?: unknown }) => message(issue.input as T);
  return z.refine<T>(holds, { error });
}

/** A boolean. */
export function onOff() {
  return parsedText(parseOnOff, "'on' or 'off'", { type: "bool", form: "on|off", values: ["on", "off"] });
}

/** A boolean that has only one possible value. */
export function always(wanted: "on" | "off", why: string) {
  return onOff().check(rule<boolean>((value) => value === (wanted === "on"), `must be ${wanted}: ${why}`));
}

/** A whole number below 2^64. */
export function uint64() {
  return parsedText(parseUint64, "uint64", { type: "uint64", form: "N" });
}

/** A whole number from `least` to `most`. @param expected as of parsedText. */
export function integer(least: number, most: number, expected: string) {
  const parse = (text: string) => {
    const value = Number(parseUint64(text) ?? Number.NaN);
    return value >= least && value <= most ? value : undefined;
  };
  return parsedText(parse, expected, { type: "int", form: "N" });
}

/** CIDs 0 to 3 are special (uapi/linux/vm_sockets.h; the driver reserves 3), 0xffffffff is VMADDR_CID_ANY. */
const CID_RANGE = "use 4 to 4294967294, or 0 to have one chosen";

/** An enclave's vsock CID; 0 lets the hypervisor choose. */
export function enclaveCid() {
  return uint64().check(
    rule<bigint>((cid) => cid === 0n || cid > 3n, `CIDs 1, 2 and 3 are reserved: ${CID_RANGE}`),
    rule<bigint>((cid) => cid < 0xffffffffn, `a CID has 32 bits: ${CID_RANGE}`),
  );
}

/** A size in bytes. @param unit the suffix of a number that has none. */
export function size(unit: "b" | "M") {
  const expected = `a size: a number with k, M, G, T, P or E, in ${unit === "M" ? "MiB" : "bytes"} without one`;
  return parsedText((text) => parseSize(text, unit), expected, { type: "size", form: "SIZE" });
}

/** One of several names. */
export function oneOf<const T extends string>(values: readonly T[]) {
  return z.enum(values, {
    error: ({ input }) => `does not accept value '${input}': use ${values.join(", ")}`,
  });
}

/** One fixed text; anything else is refused with `why`. */
export function only<const T extends string>(text: T, why: string | ((input: string) => string)) {
  const error = typeof why === "string" ? why : (issue: { input?: unknown }) => why(String(issue.input));
  return withForm(z.literal(text, { error }), { type: "string", form: text, values: [text] });
}

/** A property of QEMU's that is refused whatever its value. */
export function refused(why: string) {
  return z.never({ error: why });
}

/** Any text. */
export function text(form = "TEXT") {
  return withForm(z.string(), { type: "string", form });
}

/** The name of a file: not empty, without NUL. */
export function filePath(form = "FILE") {
  return withForm(z.string().check(z.regex(/^[^\0]+$/, { error: "expects the name of a file" })), {
    type: "string",
    form,
  });
}

/** The name of an object or a character device. */
export function identifier() {
  const pattern = z.regex(/^[A-Za-z][A-Za-z0-9\-._]*$/, { error: "expects an identifier" });
  return withForm(z.string().check(pattern), { type: "string", form: "ID" });
}

/** 1 to 128 printable ASCII characters. @param what the subject of the message. */
export function printable(what: string) {
  const pattern = z.regex(/^[\x20-\x7e]{1,128}$/, {
    error: `${what} has 1 to 128 printable ASCII characters`,
  });
  return withForm(z.string().check(pattern), { type: "string", form: "NAME" });
}

/**
 * Numbers and ranges, `2-3,6`, from all repeats of a property. Keeps their order.
 * @param most the largest number. @param expected as of parsedText. @param kind the kind of number, for messages.
 */
export function numberList(most: number, kind: string, expected: string) {
  const convert = z.transform((texts: string[], context): number[] =>
    texts
      .flatMap((text) => text.split(","))
      .flatMap((range) => {
        const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
        const count = Number(last) - Number(first) + 1;
        if (first !== "" && count > 0 && Number(last) <= most)
          return Array.from({ length: count }, (_, i) => Number(first) + i);
        const message = first === "" ? `expects ${expected}` : `does not accept ${kind} ${range}`;
        context.issues.push({ code: "custom", input: range, message });
        return [];
      }),
  );
  return withForm(convert, { type: "int[-int]", form: "N[-N]" });
}
