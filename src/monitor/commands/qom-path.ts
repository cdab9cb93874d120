/** Access to a QOM tree by path: resolution, properties, printing. */
import type { Json } from "../json.ts";
import { CommandError } from "./command.ts";

/** A readable property of a QOM object. */
export interface QomProperty {
  readonly type: string;
  readonly value: Json;
}

/** A QOM object: its type, properties and child objects. */
export interface QomObject {
  readonly type: string;
  readonly properties: Readonly<Record<string, QomProperty>>;
  readonly children: Readonly<Record<string, QomObject>>;
}

/** An object with its absolute path. */
export interface ResolvedObject {
  readonly path: string;
  readonly object: QomObject;
}

function descendants(object: QomObject, path = ""): readonly ResolvedObject[] {
  return [
    { path: path === "" ? "/" : path, object },
    ...Object.entries(object.children).flatMap(([name, child]) => descendants(child, `${path}/${name}`)),
  ];
}

/**
 * Finds an object. A path without a leading slash matches the end of an absolute path and must match only one.
 * @param reportAmbiguity whether to report several matches as such, as qom-list does. Otherwise they are reported as a
 * device that was not found, as QEMU's qom-get and qom-set do. Throws CommandError.
 */
export function resolvePath(root: QomObject, path: string, reportAmbiguity = false): ResolvedObject {
  const all = descendants(root);
  const normalized = path.replace(/\/+/g, "/").replace(/(?<=.)\/$/, "");
  const matches = normalized.startsWith("/")
    ? all.filter((candidate) => candidate.path === normalized)
    : all.filter((candidate) => path !== "" && candidate.path.endsWith(`/${path}`));
  const isAmbiguous = path === "" || matches.length > 1;
  if (isAmbiguous && reportAmbiguity) throw new CommandError(`Path '${path}' is ambiguous`);
  const [match] = matches;
  if (match === undefined || isAmbiguous)
    throw new CommandError(`Device '${path}' not found`, "DeviceNotFound");
  return match;
}

/** Returns the name and type of each property, children included, as qom-list does. */
export function listProperties({ properties, children }: QomObject): { name: string; type: string }[] {
  return [
    ...Object.entries(properties).map(([name, { type }]) => ({ name, type })),
    ...Object.entries(children).map(([name, { type }]) => ({ name, type: `child<${type}>` })),
  ];
}

/** Returns the value of a property; a child's value is its path. Throws CommandError. */
export function getProperty(root: QomObject, path: string, name: string): Json {
  const { path: absolute, object } = resolvePath(root, path);
  if (Object.hasOwn(object.children, name)) return `${absolute === "/" ? "" : absolute}/${name}`;
  const property = Object.hasOwn(object.properties, name) ? object.properties[name] : undefined;
  if (property === undefined) throw new CommandError(`Property '${object.type}.${name}' not found`);
  return property.value;
}

/** Formats the objects below a path as `info qom-tree` does, one per line, sorted by name. */
export function formatTree(root: QomObject, path: string): string {
  const lines = (name: string, { type, children }: QomObject, depth: number): string => {
    const below = Object.entries(children)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([child, object]) => lines(child, object, depth + 1));
    return `${"  ".repeat(depth)}/${name} (${type})\n${below.join("")}`;
  };
  try {
    const { path: absolute, object } = resolvePath(root, path);
    return lines(absolute.slice(absolute.lastIndexOf("/") + 1), object, 0);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return `Path '${path}' could not be resolved.\n`;
  }
}
