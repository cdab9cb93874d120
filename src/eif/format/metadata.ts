/**
 * The metadata section: JSON that describes an image to people; it is not measured. The keys are AWS's, and its
 * describe-eif needs all of them (EifIdentityInfo and EifBuildInfo in src/defs/mod.rs of
 * aws/aws-nitro-enclaves-image-format).
 */
import { EifError } from "./reader.ts";

/** The metadata of a new image. */
export interface MetadataInput {
  readonly name: string;
  readonly version: string;
  /** RFC 3339, or empty to keep the image reproducible. */
  readonly buildTime: string;
  readonly toolVersion: string;
  readonly kernelVersion: string;
  /** The text of the user's own JSON object. */
  readonly custom: string | undefined;
}

/** The limit of the user's own metadata: MAX_META_FILE_SIZE of AWS's builder. */
export const MAX_CUSTOM_METADATA_BYTES = 4096;

/** Returns the section's payload, its keys in the order of AWS's builder. */
export function encodeMetadata(input: MetadataInput): Uint8Array {
  const metadata = {
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
  // The user's text is inserted unchanged: parsing and formatting it again would round numbers.
  const text = `${JSON.stringify(metadata).slice(0, -1)},"CustomMetadata":${input.custom ?? "null"}}`;
  return new TextEncoder().encode(text);
}

/** Checks that bytes are a JSON object in UTF-8. Returns its text. Throws EifError. */
export function customMetadata(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
  } catch {
    throw new EifError("not UTF-8 text");
  }
  if (parseObject(text) === undefined) throw new EifError("not a JSON object ({ … })");
  return text;
}

/** Any JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The metadata of an image; a key that is missing or has the wrong type is undefined. */
export interface EifMetadata {
  readonly imageName: string | undefined;
  readonly imageVersion: string | undefined;
  readonly build: JsonObject | undefined;
  readonly dockerInfo: unknown;
  readonly custom: unknown;
  /** Other keys, and values of another type than AWS's. */
  readonly others: JsonObject;
}

/**
 * Reads a metadata section's text. Returns undefined if it is not a JSON object. Numbers are kept as they are written:
 * JSON.stringify prints them so.
 */
export function readMetadata(text: string): EifMetadata | undefined {
  const all = parseObject(text, keepNumber);
  if (all === undefined) return undefined;
  const { ImageName, ImageVersion, BuildMetadata, DockerInfo, CustomMetadata, ...others } = all;
  const asText = (value: unknown) => (typeof value === "string" ? value : undefined);
  const odd = Object.entries({ ImageName, ImageVersion }).filter(([, value]) => asText(value) === undefined);
  const oddBuild = isObject(BuildMetadata) ? {} : { BuildMetadata };
  return {
    imageName: asText(ImageName),
    imageVersion: asText(ImageVersion),
    build: isObject(BuildMetadata) ? BuildMetadata : undefined,
    dockerInfo: DockerInfo,
    custom: CustomMetadata,
    others: { ...Object.fromEntries(odd), ...oddBuild, ...others },
  };
}

/** Whether a JSON value is an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !RAW_JSON.isRawJSON(value);
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/** What TypeScript does not know of JSON yet (https://tc39.es/proposal-json-parse-with-source). */
const RAW_JSON = JSON as unknown as {
  parse(text: string, reviver?: Reviver): unknown;
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): boolean;
};

/** A reviver that keeps a number's text: larger ones than 2^53 would be rounded. */
function keepNumber(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  return typeof value === "number" && source !== undefined ? RAW_JSON.rawJSON(source) : value;
}

function parseObject(text: string, reviver?: Reviver): JsonObject | undefined {
  try {
    const value = RAW_JSON.parse(text, reviver);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Returns the version in an x86 bzImage (`6.12.57+deb13-cloud-amd64`), or undefined if there is none.
 * Source: Documentation/arch/x86/boot.rst, kernel_version: the offset, minus 0x200, of a text that ends with NUL and of
 * which the version is the first word.
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
