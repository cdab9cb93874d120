/** An opened image, and the part of the launch context that opening one needs. */
import type { EifSection } from "../../eif/format/reader.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { LaunchContext } from "../context.ts";
import type { CheckedSignature } from "./image-signature.ts";

/** The part of the launch context that opening and loading an image needs. */
export type ImageContext = Pick<LaunchContext, "system" | "report" | "progress">;

/** An image that passed all checks that are possible before it is in memory. */
export interface Image extends Disposable {
  /** Size of the whole EIF, in bytes. */
  readonly size: number;
  /** How messages name it: `-kernel app.eif`. */
  readonly what: string;
  /** In file order. */
  readonly sections: readonly EifSection[];
  /** undefined for an unsigned image. */
  readonly signature: CheckedSignature | undefined;
  /** Writes the EIF to `memory` at `offset`. Throws UserError if a file has changed since it was opened. */
  load(memory: Mapping, offset: number): void;
}
