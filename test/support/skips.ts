/**
 * Which tests may be skipped, and on which kind of machine. The runner fails if a test is skipped that no row allows, so
 * that a test does not disappear unnoticed; in CI nothing may be skipped.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";

/** A kind of machine and the test files that may skip tests there. */
interface AllowedSkip {
  readonly reason: string;
  readonly applies: boolean;
  readonly files: RegExp;
}

const emulatedParent = process.arch === "x64" && process.geteuid?.() === 0;

const ALLOWED: readonly AllowedSkip[] = [
  {
    reason: "the emulated parent instance needs root on x86_64",
    applies: !emulatedParent,
    files: /^test\/(e2e|emulated-parent|fuzz)\//,
  },
  {
    reason: "reading by several threads needs two CPUs",
    applies: availableParallelism() < 2,
    files: /^test\/unit\/sys\/thread-pool\.test\.ts$/,
  },
  {
    reason: "a machine with /dev/nitro_enclaves does not report a missing device",
    applies: existsSync("/dev/nitro_enclaves"),
    files: /^test\/e2e\/binary\//,
  },
  {
    reason: "the kernel has no huge pages of 2 MiB, or counts memory in other blocks",
    applies: process.arch === "arm64" || !existsSync("/sys/kernel/mm/hugepages/hugepages-2048kB"),
    files: /^test\/unit\/host\//,
  },
];

/** A test that was skipped. */
export interface SkippedTest {
  readonly file: string;
  readonly name: string;
}

/** Returns the skipped tests of a JUnit report, as `bun test --reporter=junit` writes it. */
export function skippedTests(junit: string): SkippedTest[] {
  const cases = junit.matchAll(/<testcase name="([^"]*)"[^>]*? file="([^"]*)"[^>]*>\s*<skipped/g);
  return [...cases].map(([, name = "", file = ""]) => ({ file, name }));
}

/** Returns the skipped tests that are not allowed on this machine. @param ci whether this is a CI run. */
export function unexpectedSkips(skipped: readonly SkippedTest[], ci: boolean): SkippedTest[] {
  const allowed = ci ? [] : ALLOWED.filter(({ applies }) => applies);
  return skipped.filter(({ file }) => !allowed.some(({ files }) => files.test(file)));
}

/** Returns the reasons why tests may be skipped on this machine. */
export function skipReasons(): string[] {
  return ALLOWED.filter(({ applies }) => applies).map(({ reason }) => reason);
}
