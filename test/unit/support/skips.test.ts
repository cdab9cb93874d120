import { expect, test } from "bun:test";
import { skippedTests, unexpectedSkips } from "../../support/skips.ts";

const JUNIT = `<testsuites name="bun test" tests="3" failures="0" skipped="1">
  <testsuite name="test/unit/sys/poll.test.ts" file="test/unit/sys/poll.test.ts">
    <testcase name="waits" classname="" time="0" file="test/unit/sys/poll.test.ts" line="2" assertions="1" />
    <testcase name="wakes up" classname="" time="0" file="test/unit/sys/poll.test.ts" line="9" assertions="0">
      <skipped />
    </testcase>
  </testsuite>
</testsuites>`;

test("skips: finds the skipped tests of a JUnit report", () => {
  expect(skippedTests(JUNIT)).toEqual([{ file: "test/unit/sys/poll.test.ts", name: "wakes up" }]);
});

test("skips: a test that no row allows is unexpected on every machine", () => {
  const skipped = skippedTests(JUNIT);
  expect(unexpectedSkips(skipped, false)).toEqual(skipped);
});

test("skips: in CI every skip is unexpected", () => {
  const skipped = [{ file: "test/e2e/launch/story.test.ts", name: "starts an enclave" }];
  expect(unexpectedSkips(skipped, true)).toEqual(skipped);
});
