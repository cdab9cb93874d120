import { describe, expect, test } from "bun:test";
import { argumentHelp, commandLineOptions, describeOptions } from "../../../../src/cli/options/describe.ts";
import { findOption, LAUNCH_OPTIONS } from "../../../../src/cli/options/table.ts";
import { parseLaunch } from "./parse-launch.ts";

const PARSED = { dashed: "-x", argument: "", value: "" };

describe("describeOptions", () => {
  const descriptions = describeOptions();
  const property = (option: string, name: string) =>
    descriptions.find((each) => each.name === option)?.properties.find((each) => each.name === name);

  test("describeOptions: has every option once, with help", () => {
    expect(descriptions.map(({ name }) => name)).toEqual(LAUNCH_OPTIONS.map(({ name }) => name));
    expect(new Set(descriptions.map(({ name }) => name)).size).toBe(descriptions.length);
    expect(descriptions.filter(({ help }) => help === "")).toEqual([]);
  });

  test("describeOptions: has the values of a property that has a few", () => {
    expect(property("accel", "heartbeat")?.values).toEqual(["auto", "require", "none"]);
    expect(property("accel", "debug-mode")?.values).toEqual(["on", "off"]);
    expect(property("accel", "enclave-cid")?.values).toBeUndefined();
  });

  test("describeOptions: shows a property that mirrors an option with the form of that option", () => {
    expect(property("machine", "kernel")).toMatchObject({ form: "FILE", help: "as -kernel" });
    expect(property("machine", "smp.cpus")).toMatchObject({ form: "N", help: "as -smp cpus=" });
  });

  test("describeOptions: says which properties accumulate when they are repeated", () => {
    const repeats = descriptions.flatMap(({ name, properties }) =>
      properties.filter((each) => each.repeats).map((each) => `-${name} ${each.name}`),
    );
    expect(repeats.sort()).toEqual(["-accel cpu-ids", "-machine ramdisk", "-object host-nodes"]);
  });

  test("describeOptions: a documented default is the value in a launch without the property", () => {
    const withDefault = descriptions
      .filter(({ name }) => ["accel", "machine", "msg", "sandbox", "run-with"].includes(name))
      .flatMap(({ name, properties }) =>
        properties.flatMap((each) =>
          each.default !== undefined && /^(on|off|0|auto|nitro)$/.test(each.default)
            ? [[`-${name}`, `${each.name}=${each.default}`] as const]
            : [],
        ),
      );
    expect(withDefault.length).toBeGreaterThan(8);
    for (const args of withDefault) {
      expect([args, parseLaunch(["-kernel", "k", ...args])]).toEqual([args, parseLaunch(["-kernel", "k"])]);
    }
  });
});

describe("help of an option's argument", () => {
  test.each(LAUNCH_OPTIONS.filter(({ properties }) => properties !== undefined).map(({ name }) => name))(
    "option help: -%s fits 80 columns and lists every documented property",
    (name) => {
      const option = findOption(name);
      if (option === undefined) throw new Error(`no option ${name}`);
      const text = argumentHelp(option, { ...PARSED, name, pairs: [["any", "pair"]] });
      expect(text.split("\n").filter((line) => line.length > 80)).toEqual([]);
      for (const [property, { help }] of Object.entries(option.properties ?? {}))
        if (help !== undefined) expect(text).toContain(`\n  ${property}=<`);
    },
  );
});

describe("query-command-line-options", () => {
  test("query-command-line-options: names options as QEMU does, by their configuration groups", () => {
    const names = commandLineOptions().map(({ option }) => option);
    expect(names).toEqual(
      expect.arrayContaining(["accel", "machine", "memory", "smp-opts", "chardev", "mon"]),
    );
  });

  test("query-command-line-options: has QEMU's parameter types", () => {
    const memory = commandLineOptions().find(({ option }) => option === "memory");
    expect(memory?.parameters).toEqual([{ name: "size", type: "size", help: "the size of the memory" }]);
    const accel = commandLineOptions().find(({ option }) => option === "accel");
    const types = Object.fromEntries((accel?.parameters ?? []).map(({ name, type }) => [name, type]));
    expect(types).toMatchObject({ "debug-mode": "boolean", "enclave-cid": "number", heartbeat: "string" });
  });
});
