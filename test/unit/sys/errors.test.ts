import { describe, expect, test } from "bun:test";
import { ERRNO_TEXTS } from "../../../src/sys/errno-text.ts";
import { errnoName, errnoText, SyscallError, UserError } from "../../../src/sys/errors.ts";
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import { NE_ERRORS } from "../../../src/sys/linux/nitro_enclaves.ts";

describe("errnoText", () => {
  test.each([
    [2, "No such file or directory (ENOENT)"],
    [13, "Permission denied (EACCES)"],
    [11, "Resource temporarily unavailable (EAGAIN)"],
    [97, "Address family not supported by protocol (EAFNOSUPPORT)"],
    [272, "NE_ERR_NO_CPUS_AVAIL_IN_POOL (272)"],
    [256, "NE_ERR_VCPU_ALREADY_USED (256)"],
  ])("errnoText: %d is %s", (errno, text) => {
    expect(errnoText(errno)).toBe(text);
  });

  test("errnoText: an unknown errno is printed as its number", () => {
    expect(errnoText(4000)).toBe("errno 4000");
  });

  test("errnoText: every known errno has a text and a number of its own", () => {
    expect(Object.keys(ERRNO_TEXTS)).toEqual(Object.keys(ERRNO));
    expect(new Set(Object.values(ERRNO)).size).toBe(Object.keys(ERRNO).length);
  });

  test("errnoText: every errno has the number and the text of the C library", () => {
    const script =
      "import errno,os,json;print(json.dumps({n:[c,os.strerror(c)] for c,n in errno.errorcode.items()}))";
    const python = Bun.spawnSync(["python3", "-c", script]);
    const table: Record<string, [number, string]> = JSON.parse(python.stdout.toString());
    for (const [name, number] of Object.entries(ERRNO)) {
      const text = ERRNO_TEXTS[name as keyof typeof ERRNO];
      const known = table[name === "EOPNOTSUPP" ? "ENOTSUP" : name] ?? table[name];
      expect([name, known]).toEqual([name, [number, text]]);
    }
  });

  test.each(Object.entries(NE_ERRORS))("errnoText: %s is the driver's name of errno %d", (name, code) => {
    expect(errnoName(code)).toBe(name);
  });
});

describe("SyscallError", () => {
  test("SyscallError: names the call and its subject", () => {
    const error = new SyscallError("open", 2, "/no/such", "look again");
    expect([error.what, error.why, error.hint]).toEqual([
      "open /no/such",
      "No such file or directory (ENOENT)",
      "look again",
    ]);
    expect(error.message).toBe("open /no/such: No such file or directory (ENOENT)");
    expect(error).toBeInstanceOf(UserError);
    expect(error.name).toBe("SyscallError");
  });

  test("SyscallError: names only the call if the subject is empty", () => {
    expect(new SyscallError("poll", 22, "").message).toBe("poll: Invalid argument (EINVAL)");
  });
});
