/** What the options of more-options.ts may say, as schemas.ts does for the others; the messages are QEMU's. */
import type { Account } from "../../launch/options.ts";
import { GIANT_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { parseSize, parseUint64 } from "../numbers.ts";
import { field, given, objectOf, onOff, Refused, refuseUnless } from "./schemas.ts";

/** A boolean that can only be `wanted`. */
function always(name: string, wanted: "on" | "off", why: string) {
  const read = onOff(name);
  return (text: string): boolean => {
    const value = read(text);
    refuseUnless(value === (wanted === "on"), `${name}=${text}: ${why}`);
    return value;
  };
}

function sized(name: string) {
  return (text: string): number => given(parseSize(text, "b"), `Parameter '${name}' expects a size`);
}

/** The properties that say what an image must measure, and which PCR each is about. */
export const PCR_PROPERTIES = [
  { name: "expect-pcr0", index: 0 },
  { name: "expect-pcr1", index: 1 },
  { name: "expect-pcr2", index: 2 },
  { name: "expect-pcr8", index: 8 },
] as const;

function pcr(name: string) {
  return (text: string): string => {
    const wellFormed = /^[0-9a-f]{96}$/i.test(text);
    refuseUnless(wellFormed, `Parameter '${name}' expects 96 hexadecimal digits, as SHA-384 has`);
    return text.toLowerCase();
  };
}

const MEASURE = {
  measure: onOff("measure"),
  "expect-pcr0": pcr("expect-pcr0"),
  "expect-pcr1": pcr("expect-pcr1"),
  "expect-pcr2": pcr("expect-pcr2"),
  "expect-pcr8": pcr("expect-pcr8"),
};

/** -accel nitro,measure= and expect-pcr0= and its like. */
export function measureSchema() {
  return objectOf(MEASURE);
}

/** -uuid, in small letters. */
export function uuidSchema() {
  return field((text) => {
    const wellFormed = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
    refuseUnless(wellFormed, "failed to parse UUID string: wrong format");
    return text.toLowerCase();
  });
}

const MESSAGE = { timestamp: onOff("timestamp"), "guest-name": onOff("guest-name") };

/** -msg */
export function messageSchema() {
  return objectOf(MESSAGE);
}

const POLICIES = ["default", "preferred", "bind", "interleave"] as const;
/** The kernel's node masks have this many bits at the most. */
const MOST_NODES = 1024;

function nodeList(text: string): number[] {
  const nodes = new Set<number>();
  for (const range of text.split(",")) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(range);
    if (match === null) throw new Refused("Parameter 'host-nodes' expects NUMA nodes, such as 0 or 0-1");
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    refuseUnless(first <= last && last < MOST_NODES, `Parameter 'host-nodes' has no nodes ${range}`);
    for (let node = first; node <= last; node++) nodes.add(node);
  }
  return [...nodes].sort((a, b) => a - b);
}

function pageSize(text: string): number {
  const bytes = given(parseSize(text, "b"), "Parameter 'hugetlbsize' expects a size");
  refuseUnless(
    bytes === HUGE_PAGE_BYTES || bytes === GIANT_PAGE_BYTES,
    bytes < HUGE_PAGE_BYTES
      ? "an enclave takes pages of 2 MiB at least: use hugetlbsize=2M or 1G"
      : "nitro takes pages of 2 MiB or 1 GiB: use hugetlbsize=2M or 1G",
  );
  return bytes;
}

/** More would only wait for one another. */
const MOST_THREADS = 256n;

function threadCount(text: string): number {
  const threads = given(parseUint64(text), "Parameter 'prealloc-threads' expects uint32");
  refuseUnless(threads > 0n, "property 'prealloc-threads' of memory-backend-memfd doesn't take value '0'");
  refuseUnless(
    threads <= MOST_THREADS,
    `prealloc-threads=${text}: use 1 to ${MOST_THREADS}, or leave it to nitro`,
  );
  return Number(threads);
}

const HUGE = "an enclave's memory is huge pages and nothing else";
const SHARED = "the memory is donated as a mapping of a shared file";

const MEMFD = {
  "qom-type": (text: string) => text,
  id: (text: string) => text,
  size: sized("size"),
  hugetlb: always("hugetlb", "on", HUGE),
  hugetlbsize: pageSize,
  "host-nodes": nodeList,
  policy(text: string) {
    const policy = POLICIES.find((name) => name === text);
    return given(policy, `Parameter 'policy' does not accept value '${text}'`);
  },
  prealloc: always("prealloc", "on", "the driver takes allocated pages, so they are always allocated before"),
  "prealloc-threads": threadCount,
  reserve: always("reserve", "on", "all pages are allocated before the memory is donated"),
  share: always("share", "on", SHARED),
  seal: always("seal", "on", "its file is closed before anybody could change its size"),
  merge: always("merge", "off", "huge pages cannot be merged, nor can an enclave's be read"),
  dump: always("dump", "off", "an enclave's memory is not the launcher's to dump"),
};

/** -object memory-backend-memfd,… */
export function memfdSchema() {
  return objectOf(MEMFD);
}

function account(text: string): Account {
  const ids = /^(\d+)(?::(\d+))?$/.exec(text);
  if (ids === null) {
    refuseUnless(/^[^\s:,/]+$/.test(text), `User "${text}" doesn't exist (and is not <uid>:<gid>)`);
    return { name: text };
  }
  // The largest id stands for "leave it" (setresuid(2)).
  const id = (digits: string) => {
    const value = Number(digits);
    refuseUnless(value < 0xffff_ffff, `an id has 32 bits and is not 4294967295: ${digits}`);
    return value;
  };
  const uid = id(ids[1] ?? "");
  return ids[2] === undefined ? { uid } : { uid, gid: id(ids[2]) };
}

function directory(path: string): string {
  refuseUnless(path !== "" && !path.includes("\0"), "Parameter 'chroot' expects the name of a directory");
  return path;
}

const TEARDOWN = "the driver gives an enclave's memory back before the launcher ends";

const RUN_WITH = {
  user: account,
  chroot: directory,
  "exit-with-parent": onOff("exit-with-parent"),
  "async-teardown": always("async-teardown", "off", TEARDOWN),
};

/** -run-with */
export function runWithSchema() {
  return objectOf(RUN_WITH);
}

function denied(name: string, also: readonly string[] = []) {
  return (text: string): void => {
    refuseUnless(["allow", "deny", ...also].includes(text), `invalid argument for ${name}`);
    refuseUnless(
      text !== "allow",
      `${name}=allow: nitro's sandbox is a list of the calls that it needs, and none of these is on it`,
    );
  };
}

const SANDBOX = {
  enable: onOff("enable"),
  obsolete: denied("obsolete"),
  elevateprivileges: denied("elevateprivileges", ["children"]),
  spawn: denied("spawn"),
  resourcecontrol: denied("resourcecontrol"),
};

/** -sandbox */
export function sandboxSchema() {
  return objectOf(SANDBOX);
}
