/**
 * The metadata section: JSON that tells people what an image is; it is not measured. The keys are AWS's, all of which
 * its describe-eif needs (src/defs/mod.rs of aws/aws-nitro-enclaves-image-format: EifIdentityInfo, EifBuildInfo).
 */
import { EifError } from "./reader.ts";

/** What goes into the metadata of a new image. */
export interface MetadataInput {
  readonly name: string;
  readonly version: string;
  /** RFC 3339, or empty where no time of day is to be in the image. */
  readonly buildTime: string;
  readonly toolVersion: string;
  readonly kernelVersion: string;
  /** A JSON object of the user's, as it was written. */
  readonly custom: string | undefined;
}

/** The most that the user's own metadata may have: MAX_META_FILE_SIZE of AWS's builder. */
export const MOST_CUSTOM_BYTES = 4096;

/** The section's payload, in the order of keys that AWS's builder has. */
export function encodeMetadata(input: MetadataInput): Uint8Array {
  const about = {
    ImageName: input.name,
    ImageVersion: input.version,
    BuildMetadata: {
      BuildTime: input.buildTime,
      BuildTool: "nitro",
      BuildToolVersion: input.toolVersion,
      OperatingSystem: "Generic Linux",
      KernelVersion: input.kernelVersion,
    },
    DockerInfo: null,
  };
  // The user's own text is put in as it is: reading and writing it would round numbers.
  const text = `${JSON.stringify(about).slice(0, -1)},"CustomMetadata":${input.custom ?? "null"}}`;
  return new TextEncoder().encode(text);
}

/** Checks that bytes are a JSON object in UTF-8 and gives its text. Throws EifError. */
export function customMetadata(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
  } catch {
    throw new EifError("it is not UTF-8 text");
  }
  if (objectIn(text) === undefined) throw new EifError("it is not a JSON object: { … }");
  return text;
}

/** Any JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What the metadata of an image says; each is undefined where the image has it not. */
export interface Metadata {
  readonly imageName: string | undefined;
  readonly imageVersion: string | undefined;
  readonly build: JsonObject | undefined;
  readonly dockerInfo: unknown;
  readonly custom: unknown;
}

/** Reads a metadata section's text; undefined for what is no JSON object. */
export function readMetadata(text: string): Metadata | undefined {
  const all = objectIn(text);
  if (all === undefined) return undefined;
  const asText = (value: unknown) => (typeof value === "string" ? value : undefined);
  return {
    imageName: asText(all["ImageName"]),
    imageVersion: asText(all["ImageVersion"]),
    build: isObject(all["BuildMetadata"]) ? all["BuildMetadata"] : undefined,
    dockerInfo: all["DockerInfo"],
    custom: all["CustomMetadata"],
  };
}

/** Whether a value of JSON is an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The version that an x86 bzImage states, its first word (`6.12.57+deb13-cloud-amd64`); undefined where none stands
 * there. Source: Documentation/arch/x86/boot.rst, kernel_version: a pointer less 0x200 to a text that NUL ends.
 */
export function kernelVersion(read: (into: Uint8Array, offset: number) => number): string | undefined {
  const pointer = new Uint8Array(2);
  if (read(pointer, 0x20e) !== 2) return undefined;
  const at = (pointer[0] ?? 0) | ((pointer[1] ?? 0) << 8);
  if (at === 0) return undefined;
  const bytes = new Uint8Array(256);
  const text = Buffer.from(bytes.subarray(0, read(bytes, at + 0x200))).toString("latin1");
  return /^[!-~]{1,128}(?=[ \0])/.exec(text)?.[0];
}
