import { describe, expect, test } from "bun:test";
import type { LaunchOptions } from "../../../../src/launch/options.ts";
import { userErrorOf } from "../../../support/error-of.ts";
import { parseLaunch } from "./parse-launch.ts";

describe("-accel cpu-ids", () => {
  const ids = (accel: string, ...rest: string[]) =>
    parseLaunch(["-kernel", "k", "-accel", accel, ...rest]).cpuIds;

  test.each([
    ["nitro,cpu-ids=2", [2]],
    ["nitro,cpu-ids=2-5", [2, 3, 4, 5]],
    ["cpu-ids=2-3,,6", [2, 3, 6]],
    ["nitro,cpu-ids=7,,3", [7, 3]],
    ["nitro,cpu-ids=2-3,debug-mode=on,cpu-ids=6-7", [2, 3, 6, 7]],
    ["nitro,cpu-ids=2-3,measure=on", [2, 3]],
  ])("cpu-ids: %s", (accel, expected) => {
    expect(ids(accel)?.value).toEqual(expected);
  });

  test("cpu-ids: messages name them as they were typed", () => {
    expect(ids("debug-mode=on,cpu-ids=2-3,,6,cpu-ids=8")?.typed).toBe("-accel cpu-ids=2-3,,6,cpu-ids=8");
  });

  test.each([
    ["cpu-ids=", "Parameter 'cpu-ids' expects CPUs: N or N-N, joined by ,,"],
    ["cpu-ids=a", "Parameter 'cpu-ids' expects CPUs: N or N-N, joined by ,,"],
    ["cpu-ids=2-", "Parameter 'cpu-ids' expects CPUs: N or N-N, joined by ,,"],
    ["cpu-ids=2-3-4", "Parameter 'cpu-ids' expects CPUs: N or N-N, joined by ,,"],
    ["cpu-ids=-2", "Parameter 'cpu-ids' expects CPUs: N or N-N, joined by ,,"],
    ["cpu-ids=3-2", "Parameter 'cpu-ids' does not accept CPUs 3-2"],
    ["cpu-ids=99999", "Parameter 'cpu-ids' does not accept CPUs 99999"],
    ["cpu-ids=0-1", "cpu-ids: CPU 0 stays with the parent; no enclave can have it"],
    ["cpu-ids=2-3,,3", "cpu-ids names CPU 3 twice"],
    ["cpu-ids=2,cpu-ids=1-2", "cpu-ids names CPU 2 twice"],
  ])("cpu-ids: %s is refused", (accel, why) => {
    const failure = userErrorOf(() => ids(`nitro,${accel}`));
    expect(failure.why).toBe(why);
    expect(failure.what).toContain(accel);
  });

  test("cpu-ids: they determine the number of vCPUs, and -smp must agree", () => {
    expect(ids("nitro,cpu-ids=2-5", "-smp", "4")?.value).toHaveLength(4);
    expect(userErrorOf(() => ids("nitro,cpu-ids=2-5", "-smp", "2"))).toEqual({
      what: "-smp 2",
      why: "-accel cpu-ids=2-5 selects 4 CPUs",
      hint: "use -smp 4, or leave it out",
    });
    expect(userErrorOf(() => ids("nitro,cpu-ids=2", "-M", "smp.cpus=2")).hint).toBe(
      "use -smp 1, or leave it out",
    );
  });
});

describe("-accel measure and expect-pcr", () => {
  const HEX = "0123456789ab".repeat(8);
  const accelWith = (args: string) => parseLaunch(["-kernel", "k", "-accel", args]);

  test.each([
    ["nitro,measure=on", { report: true, expected: [] }],
    ["measure=on", { report: true, expected: [] }],
    ["nitro,measure=off", undefined],
    ["nitro,measure", { report: true, expected: [] }],
    ["nitro,nomeasure", undefined],
    ["measure=off,measure=on", { report: true, expected: [] }],
    [`expect-pcr0=${HEX}`, { report: false, expected: [{ index: 0, hex: HEX }] }],
    [`nitro,expect-pcr8=${HEX.toUpperCase()}`, { report: false, expected: [{ index: 8, hex: HEX }] }],
    [
      `measure=on,expect-pcr2=${HEX},expect-pcr1=${HEX}`,
      {
        report: true,
        expected: [
          { index: 1, hex: HEX },
          { index: 2, hex: HEX },
        ],
      },
    ],
  ] as const)("measure and expect-pcr: -accel %s", (args, expected) => {
    expect(accelWith(args).measure).toEqual(expected as LaunchOptions["measure"]);
  });

  test("measure and expect-pcr: other properties keep their values", () => {
    const options = accelWith("nitro,debug-mode=on,measure=on,enclave-cid=20");
    expect([options.debugMode, options.enclaveCid]).toEqual([true, 20n]);
  });

  const long = (name: string) => `Parameter '${name}' expects 96 hexadecimal digits, a SHA-384 hash`;
  test.each([
    ["expect-pcr0=abc", long("expect-pcr0")],
    [`expect-pcr1=${HEX}0`, long("expect-pcr1")],
    [`expect-pcr2=${HEX.slice(1)}`, long("expect-pcr2")],
    [`expect-pcr8=${HEX.slice(1)}g`, long("expect-pcr8")],
    [`expect-pcr0=0x${HEX.slice(2)}`, long("expect-pcr0")],
    ["expect-pcr0=", long("expect-pcr0")],
    [`expect-pcr3=${HEX}`, "Property 'nitro-accel.expect-pcr3' not found"],
    ["measure=maybe", "Parameter 'measure' expects 'on' or 'off'"],
    ["measure=on,bogus=1", "Property 'nitro-accel.bogus' not found"],
    ["kvm,measure=on", "an enclave runs on the Nitro hypervisor: use -accel nitro, which is the default"],
  ])("-accel %s: is refused", (args, why) => {
    const failure = userErrorOf(() => accelWith(args));
    expect(failure.why).toBe(why);
    expect(failure.what).toStartWith("-accel ");
  });

  test("-accel: a second one is refused", () => {
    const args = ["-kernel", "k", "-accel", "nitro", "-accel", "measure=on"];
    expect(userErrorOf(() => parseLaunch(args)).what).toBe("-accel measure=on");
  });
});
