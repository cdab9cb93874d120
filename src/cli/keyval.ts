/**
 * QEMU's grammar for what stands after an option (util/keyval.c describes it):
 *
 *   list   = [ value-of-the-implied-key ] { "," key "=" value }
 *   value  = any text; a comma in it is written ",,"
 *
 * The first word may stand without its key where the option implies one. `help` or `?` in place of a pair asks
 * for help. A key that comes twice has its last value, but for keys that are lists (`host-nodes=0,host-nodes=2`).
 */

/** What a list says. */
export interface Keyvals {
  readonly values: Readonly<Record<string, string>>;
  /** Every pair as it stands there, repeats included. */
  readonly pairs: readonly (readonly [key: string, value: string])[];
  readonly help: boolean;
}

/** A list that does not follow the grammar; the message is QEMU's. */
export class KeyvalError extends Error {
  override readonly name = "KeyvalError";
}

/**
 * Reads a list. Throws KeyvalError.
 * @param implied the key of a first word that stands alone, @param lists keys whose repeats are joined by commas.
 * @param bare how a later word that stands alone is read, as `server` is server=on; undefined where it is an error.
 */
export function parseKeyvals(
  text: string,
  implied: string,
  lists: readonly string[] = [],
  bare?: (word: string) => [string, string],
): Keyvals {
  const values: Record<string, string> = Object.create(null);
  const pairs: [string, string][] = [];
  let help = false;
  let index = -1;
  for (const part of splitAtCommas(text)) {
    index += 1;
    if (part === "help" || part === "?") {
      help = true;
      continue;
    }
    const equals = part.indexOf("=");
    if (equals === -1) {
      if (index === 0 && part !== "") {
        values[implied] = part;
        pairs.push([implied, part]);
      } else if (bare !== undefined && part !== "") {
        const [key, value] = bare(part);
        values[key] = value;
        pairs.push([key, value]);
      } else
        throw new KeyvalError(
          part === "" ? "Invalid parameter ''" : `Expected '=' after parameter '${part}'`,
        );
      continue;
    }
    const key = part.slice(0, equals);
    if (!/^[A-Za-z][A-Za-z0-9_.-]*$/.test(key)) throw new KeyvalError(`Invalid parameter '${key}'`);
    const value = part.slice(equals + 1);
    pairs.push([key, value]);
    const before = lists.includes(key) ? values[key] : undefined;
    values[key] = before === undefined ? value : `${before},${value}`;
  }
  return { values, pairs, help };
}

/** A pair as the grammar has it, a comma of the value doubled. */
export function pairText(key: string, value: string): string {
  return `${key}=${value.replaceAll(",", ",,")}`;
}

/** Splits at single commas; a doubled one is a comma of the value. */
function splitAtCommas(text: string): string[] {
  const parts: string[] = [];
  let part = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ",") part += text[i];
    else if (text[i + 1] === ",") {
      part += ",";
      i++;
    } else {
      parts.push(part);
      part = "";
    }
  }
  // A comma at the very end closes the list: `nitro,` is `nitro`.
  if (part !== "" || parts.length === 0) parts.push(part);
  return parts;
}
