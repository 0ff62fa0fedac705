import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness } from "../src/akita/testing.js";
import plugin from "../src/plugin.js";

const harness = new Harness(plugin);

test("people are greeted by name", () => {
  const { result, lines } = harness.json("greet", { name: "Ada" });
  assert.deepEqual(result, { greeting: "Hello, Ada!" });
  assert.equal(lines[0].message, "greeting");
});

test("nobody is not greeted", () => {
  const { error } = harness.json("greet", { name: "" });
  assert.equal(error.val.code, "no-name");
});
