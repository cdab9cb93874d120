/**
 * The order in which huge pages are mapped. The driver makes one region of each run of pages that follow one another in
 * the mapping and in physical memory alike, and the regions of an enclave are limited, by a number that nobody outside
 * can ask for. Freed pages come back in reverse order, and several threads take them in turn: mapped as they came, each
 * page would be a region of its own.
 */

/** So many pages of 2 MiB are 8 TiB; a physical address has 52 bits, and a page's number and place together 53. */
const MOST_PAGES = 2 ** 22;

/** Regions that pages make as they are mapped. @param addresses physical ones, in the mapping's order. */
export function regionsOf(addresses: Float64Array, pageBytes: number): number {
  let [regions, next] = [0, -1];
  for (const address of addresses) {
    if (address !== next) regions += 1;
    next = address + pageBytes;
  }
  return regions;
}

/**
 * The pages' places in the mapping by ascending physical address; undefined for more than can be sorted, and for
 * addresses that are none of pages of that size.
 */
export function ascendingPlaces(addresses: Float64Array, pageBytes: number): Uint32Array | undefined {
  if (addresses.length > MOST_PAGES || addresses.some((address) => address % pageBytes !== 0))
    return undefined;
  // One number for both, for numbers are sorted without a comparison of ours.
  const keys = addresses.map((address, place) => (address / pageBytes) * MOST_PAGES + place).sort();
  return Uint32Array.from(keys, (key) => key % MOST_PAGES);
}

/** Pages that follow one another, by their places. */
export interface PlaceRun {
  readonly first: number;
  readonly pages: number;
}

/** Places in an order, cut where one does not follow the other or a file ends. @param perFile pages of each file. */
export function runsOf(places: Uint32Array, perFile: number): PlaceRun[] {
  const runs: { first: number; pages: number }[] = [];
  let last: { first: number; pages: number } | undefined;
  for (const place of places) {
    if (last !== undefined && place === last.first + last.pages && place % perFile !== 0) last.pages += 1;
    else {
      last = { first: place, pages: 1 };
      runs.push(last);
    }
  }
  return runs;
}
