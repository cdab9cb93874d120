import { describe, expect, spyOn, test } from "bun:test";
import { SyscallError } from "../../../src/sys/errors.ts";
import { POLLIN } from "../../../src/sys/linux/poll.ts";
import { nowMs, runLoop, type Waiter } from "../../../src/sys/poll.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

function waiter(over: Partial<Waiter>): Waiter {
  return {
    fd: -1,
    events: POLLIN,
    deadlineMs: Number.POSITIVE_INFINITY,
    ready() {},
    expired() {},
    ...over,
  };
}

/** Runs one turn with these waiters and returns the timeout that poll was called with. */
function timeoutWith(...waiters: Waiter[]): number {
  const timeouts: number[] = [];
  const system = fakeLibc({
    poll: (_table, _count, timeout) => {
      timeouts.push(Number(timeout));
      return 0;
    },
  });
  let turns = 0;
  runLoop(
    system,
    () => waiters,
    () => turns++ > 0,
  );
  return timeouts[0] ?? Number.NaN;
}

describe("deadlines", () => {
  test("poll deadlines: the loop sleeps without a timeout if there is no deadline", () => {
    expect(timeoutWith(waiter({}))).toBe(-1);
  });

  test("poll deadlines: the timeout is that of the nearest deadline, rounded up", () => {
    const start = nowMs();
    const timeout = timeoutWith(
      waiter({ deadlineMs: start + 9000.2 }),
      waiter({ deadlineMs: start + 500.4 }),
    );
    expect(timeout).toBeGreaterThan(400);
    expect(timeout).toBeLessThanOrEqual(501);
  });

  test("poll deadlines: the timeout is 0 if a deadline has passed", () => {
    expect(timeoutWith(waiter({ deadlineMs: nowMs() - 1000 }))).toBe(0);
  });

  test("poll deadlines: the timeout is at most INT_MAX", () => {
    expect(timeoutWith(waiter({ deadlineMs: nowMs() + 2 ** 40 }))).toBe(0x7fffffff);
  });

  test("poll deadlines: expired is called after the deadline, not before", () => {
    const deadlineMs = nowMs() + 30;
    let expiredAt = 0;
    const late = waiter({
      deadlineMs,
      expired() {
        expiredAt = nowMs();
      },
    });
    runLoop(
      openSystem(),
      () => [late],
      () => expiredAt !== 0,
    );
    expect(expiredAt).toBeGreaterThanOrEqual(deadlineMs);
    expect(expiredAt).toBeLessThan(deadlineMs + 500);
  });
});

/** A kernel whose poll reports these revents for the waiters in order. */
function reporting(...revents: number[]): System {
  return fakeLibc({
    poll: (table) => {
      if (!(table instanceof Uint8Array)) throw new Error("poll expects a table");
      const view = new DataView(table.buffer);
      revents.forEach((events, i) => {
        view.setInt16(i * 8 + 6, events, true);
      });
      return revents.filter((events) => events !== 0).length;
    },
  });
}

describe("events", () => {
  test("poll events: each waiter receives its own events", () => {
    const seen: [string, number][] = [];
    const named = (name: string) => waiter({ fd: 3, ready: (events) => void seen.push([name, events]) });
    runLoop(
      reporting(0x10, 0, 0x1),
      () => [named("first"), named("second"), named("third")],
      () => seen.length === 2,
    );
    expect(seen).toEqual([
      ["first", 0x10],
      ["third", 0x1],
    ]);
  });

  test("poll events: no waiter is served after the loop is done", () => {
    const seen: string[] = [];
    const named = (name: string) => waiter({ fd: 3, ready: () => void seen.push(name) });
    runLoop(
      reporting(1, 1),
      () => [named("first"), named("second")],
      () => seen.length === 1,
    );
    expect(seen).toEqual(["first"]);
  });

  test("poll events: an event has precedence over a deadline that has passed", () => {
    const seen: string[] = [];
    const both = waiter({
      fd: 3,
      deadlineMs: nowMs() - 1,
      ready: () => void seen.push("ready"),
      expired: () => void seen.push("expired"),
    });
    runLoop(
      reporting(1),
      () => [both],
      () => seen.length === 1,
    );
    expect(seen).toEqual(["ready"]);
  });

  test("poll events: the table grows with the number of waiters", () => {
    const served = new Set<number>();
    const many = Array.from({ length: 40 }, (_, i) => waiter({ fd: 3, ready: () => void served.add(i) }));
    runLoop(
      reporting(...many.map(() => 1)),
      () => many,
      () => served.size === 40,
    );
    expect(served.size).toBe(40);
  });
});

describe("a failed poll", () => {
  function failing(errno: number): { system: System; calls: () => number } {
    let calls = 0;
    const system = fakeLibc({
      poll: () => {
        calls++;
        return -1;
      },
      errno: () => errno,
    });
    return { system, calls: () => calls };
  }

  test("failed poll: is repeated after EINTR", () => {
    const { system, calls } = failing(4);
    runLoop(
      system,
      () => [waiter({})],
      () => calls() === 3,
    );
    expect(calls()).toBe(3);
  });

  test.each([
    ["ENOMEM", 12],
    ["EAGAIN", 11],
    ["EINVAL", 22], // more descriptors than the limit of open files, which was lowered
  ])(
    "failed poll: after %s each descriptor is polled by itself, so that what is ready is served",
    (_name, errno) => {
      let pause = 0;
      const sleep = spyOn(Bun, "sleepSync").mockImplementation((ms) => {
        pause += Number(ms);
      });
      const system = fakeLibc({
        poll: (table, count) => {
          if (count !== 1) return -1;
          const view = new DataView((table as Uint8Array).buffer, (table as Uint8Array).byteOffset);
          if (view.getInt32(0, true) !== 7) return 0;
          view.setInt16(6, 1, true);
          return 1;
        },
        errno: () => errno,
      });
      const served: number[] = [];
      const each = [5, 7, 9].map((fd) => waiter({ fd, ready: () => served.push(fd) }));
      runLoop(
        system,
        () => each,
        () => served.length === 3,
      );
      sleep.mockRestore();
      expect(served).toEqual([7, 7, 7]);
      expect(pause).toBeGreaterThan(0); // the loop does not spin
    },
  );

  test("failed poll: deadlines are served though each descriptor fails as well", () => {
    const { system } = failing(12);
    let expired = 0;
    const late = waiter({ deadlineMs: 0, expired: () => expired++ });
    runLoop(
      system,
      () => [late, late],
      () => expired === 4,
    );
    expect(expired).toBe(4);
  });

  test("failed poll: throws for another errno", () => {
    const { system } = failing(14);
    const run = () =>
      runLoop(
        system,
        () => [waiter({})],
        () => false,
      );
    expect(run).toThrow(new SyscallError("poll", 14, ""));
  });
});
