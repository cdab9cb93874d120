import { expect, test } from "bun:test";
import { matchesShown, shownBlocks } from "../../e2e/manual/shown-commands.ts";

test("shown commands: the documents have blocks of commands", () => {
  expect(shownBlocks().length).toBeGreaterThan(5);
});

test("shown commands: an ellipsis stands for any number of lines", () => {
  expect(matchesShown(["a", "b", "c"], ["a", "...", "c"])).toBe(true);
  expect(matchesShown(["a", "c"], ["a", "...", "c"])).toBe(true);
  expect(matchesShown(["a", "b"], ["a", "..."])).toBe(true);
  expect(matchesShown(["a", "b"], ["a", "...", "c"])).toBe(false);
  expect(matchesShown(["a", "b"], ["a"])).toBe(false);
});
