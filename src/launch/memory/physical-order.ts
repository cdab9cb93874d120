/**
 * The order in which huge pages are mapped. The driver makes one region of each run of pages that follow one another in
 * the mapping and in physical memory alike, and the regions of an enclave are limited, by a number that nothing outside
 * can ask for. Freed pages come back in reverse order, and several threads take them in turn: mapped as they came, each
 * page would be a region of its own.
 */

/** So many pages of 2 MiB are 8 TiB; a physical address has 52 bits, and a page's number and place together 53. */
const MOST_PAGES = 2 ** 22;

/** Regions that pages make as they are mapped. @param addresses physical ones, in the mapping's order. */
export function regionsOf(addresses: Float64Array, pageBytes: number): number {
  let [regions, next] = [0, -1];
  for (let i = 0; i < addresses.length; i++) {
    const address = addresses[i] ?? 0;
    if (address !== next) regions += 1;
    next = address + pageBytes;
  }
  return regions;
}

/** The pages' places in the mapping by ascending physical address, and the regions that they make in that order. */
export interface AscendingOrder {
  readonly places: Uint32Array;
  readonly regions: number;
}

/**
 * The order that makes the fewest regions; undefined for more pages than can be sorted, and for addresses that are none
 * of pages of that size. Plain loops, for a launch runs each of them once: what is called first costs most.
 */
export function ascendingOrder(addresses: Float64Array, pageBytes: number): AscendingOrder | undefined {
  const { length } = addresses;
  if (length > MOST_PAGES) return undefined;
  // One number for both, for numbers are sorted without a comparison of ours.
  const keys = new Float64Array(length);
  for (let place = 0; place < length; place++) {
    const page = (addresses[place] ?? 0) / pageBytes;
    if (!Number.isInteger(page)) return undefined;
    keys[place] = page * MOST_PAGES + place;
  }
  keys.sort();
  const places = new Uint32Array(length);
  let [regions, next] = [0, -1];
  for (let i = 0; i < length; i++) {
    const key = keys[i] ?? 0;
    const place = key % MOST_PAGES;
    const page = (key - place) / MOST_PAGES;
    places[i] = place;
    if (page !== next) regions += 1;
    next = page + 1;
  }
  return { places, regions };
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
  for (let i = 0; i < places.length; i++) {
    const place = places[i] ?? 0;
    if (last !== undefined && place === last.first + last.pages && place % perFile !== 0) last.pages += 1;
    else {
      last = { first: place, pages: 1 };
      runs.push(last);
    }
  }
  return runs;
}
