// The layer between plain functions and the contract, which every new project in JavaScript has a copy of.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Content, kv, log, plugin, task, TaskError } from "../src/akita/akita.js";
import { decode, encode, reseed } from "../src/akita/runtime.js";
import { check, depth } from "../src/akita/schema.js";
import { Harness } from "../src/akita/testing.js";

const action = (run, more = {}) => ({ summary: "For this test.", run, ...more });

function harness(actions, settings) {
  return new Harness(plugin({ name: "helper", summary: "For tests.", actions }), settings);
}

test("bytes go in and out as they are", () => {
  const { content } = harness({ copy: action((input) => input) }).run("copy", "image/png", new Uint8Array([0, 255]));
  assert.deepEqual(content, { contentType: "image/png", body: new Uint8Array([0, 255]) });
  const { content: text } = harness({ text: action(() => new Content("text/plain", "ä")) }).run("text", "", "");
  assert.equal(text.body.length, 2);
});

test("each kind of error has its case of the contract", () => {
  const failing = (error) => harness({ fail: action(() => { throw error; }) }).json("fail", null);
  assert.deepEqual(failing(TaskError.invalid("no", { code: "c", pointer: "/a" })).error, {
    tag: "invalid-input",
    val: { message: "no", code: "c", pointer: "/a" },
  });
  assert.deepEqual(failing(TaskError.retryable("later", { afterMs: 50 })).error, {
    tag: "retryable",
    val: [{ message: "later", code: null, pointer: null }, 50],
  });
  assert.deepEqual(failing(TaskError.cancelled()).error, { tag: "cancelled" });
  assert.deepEqual(harness({ a: action(() => 1) }).json("toString", null).error, { tag: "unknown-action" });
  const bug = failing(new TypeError("bang"));
  assert.deepEqual(bug.error.val, { message: "TypeError: bang", code: "exception", pointer: null });
  assert.equal(bug.lines[0].level, "error");
});

test("an input that is not what the schema says is refused", () => {
  const inner = harness({ take: action((input) => input, { input: { type: "object" } }) });
  assert.equal(inner.run("take", "text/plain", "{}").error.val.code, "bad-content-type");
  assert.equal(inner.run("take", "application/json", "{").error.val.code, "not-json");
  assert.equal(inner.run("take", "application/json", new Uint8Array([255])).error.val.code, "not-json");
  assert.equal(inner.run("take", "application/json", "[".repeat(100_000)).error.val.code, "not-json");
  assert.equal(inner.json("take", []).error.val.message, "the input must be object");
  assert.deepEqual(inner.run("take", "application/vnd.x+json; charset=utf-8", '{"a":1}').result, { a: 1 });
});

test("log, progress and partial output reach the node", () => {
  const work = () => {
    log.warn("careful", { width: 3 });
    task.progress(1, 2, "half");
    task.emit("part");
    return [task.id(), task.attempt(), task.remainingMs(), task.isCancelled()];
  };
  const outcome = harness({ work: action(work) }, { attempt: 2, remainingMs: 40 }).json("work", null);
  assert.deepEqual(outcome.result, ["test", 2, 40, false]);
  assert.deepEqual(outcome.lines, [{ level: "warn", message: "careful", fields: { width: "3" } }]);
  assert.deepEqual(outcome.progress, [{ done: 1, total: 2, note: "half" }]);
  assert.equal(outcome.emitted, "part");
  const full = harness({ work: action(() => task.emit("12345")) }, { emitLimit: 4 }).json("work", null);
  assert.equal(full.error.val.code, "output-limit");
  const stopped = harness({ work: action(() => task.check()) }, { cancelled: true }).json("work", null);
  assert.equal(stopped.error.tag, "cancelled");
});

test("values are kept", () => {
  const count = () => {
    const before = kv.getJson("count") ?? 0;
    kv.putJson("count", before + 1);
    return { before, keys: kv.keys("c"), missing: kv.get("other") };
  };
  const stale = () => kv.put("count", "x", 99);
  const counter = harness({ count: action(count), stale: action(stale), drop: action(() => kv.delete("count")) });
  counter.json("count", null);
  assert.deepEqual(counter.json("count", null).result, { before: 1, keys: ["count"], missing: null });
  const { error } = counter.json("stale", null);
  assert.equal(error.tag, "retryable");
  assert.equal(error.val[0].code, "kv-conflict");
  assert.equal(counter.json("drop", null).result, true);
});

test("a plugin that no node would take is not built", () => {
  const bad = (change, message) =>
    assert.throws(() => plugin({ name: "good", summary: "s", actions: { a: action(() => 1) }, ...change }), message);
  bad({ name: "Bad" }, /no lower-case words/);
  bad({ version: "1" }, /not semantic/);
  bad({ actions: {} }, /no action/);
  bad({ actions: { Bad: action(() => 1) } }, /action's name `Bad`/);
  bad({ actions: { a: { summary: "s" } } }, /no function/);
});

test("an action that would have to be awaited says so", () => {
  const { error } = harness({ wait: action(async () => 1) }).json("wait", null);
  assert.match(error.val.message, /must not be async/);
});

test("schemas name the fault and its place", () => {
  const schema = {
    type: "object",
    required: ["a"],
    additionalProperties: false,
    properties: {
      a: { type: "integer", minimum: 1, exclusiveMaximum: 5 },
      "b/~": { type: ["string", "null"], minLength: 1, maxLength: 2, pattern: "^x" },
      c: { type: "array", minItems: 1, maxItems: 2, items: { enum: [1, "one"] } },
      d: { const: { deep: true } },
    },
  };
  const fault = (value) => check(schema, value);
  assert.equal(fault({ a: 1, "b/~": null, c: [1, "one"], d: { deep: true } }), null);
  for (const [value, pointer, message] of [
    [{}, "", "`a` is missing"],
    [{ a: 1.5 }, "/a", "`a` must be integer"],
    [{ a: 0 }, "/a", "`a` must be at least 1"],
    [{ a: 5 }, "/a", "`a` must be less than 5"],
    [{ a: 1, "b/~": "" }, "/b~1~0", "`b/~` must not be empty"],
    [{ a: 1, "b/~": "xyz" }, "/b~1~0", "`b/~` must have at most 2 characters"],
    [{ a: 1, "b/~": "y" }, "/b~1~0", "`b/~` must match ^x"],
    [{ a: 1, c: [] }, "/c", "`c` must not be empty"],
    [{ a: 1, c: [1, 2] }, "/c/1", '`1` must be one of 1, "one"'],
    [{ a: 1, d: {} }, "/d", '`d` must be {"deep":true}'],
    [{ a: 1, e: 1 }, "/e", "`e` is not known"],
  ]) {
    assert.deepEqual(fault(value), { message, pointer });
  }
});

test("text is encoded and decoded as elsewhere", () => {
  const texts = ["", "plain", "äß€", "𝄞 and more", "x".repeat(20_000) + "é", "lone \ud800 half"];
  for (const text of texts) {
    assert.deepEqual(encode(text), new TextEncoder().encode(text));
    assert.equal(decode(encode(text), true), text.toWellFormed());
  }
  for (const bytes of [[0xef, 0xbb, 0xbf, 65], [65, 0xff, 66], [0xe2, 0x82], [0xf0, 0x9d, 0x84, 65], [0xc3, 0xa9, 0x80]]) {
    const array = new Uint8Array(bytes);
    assert.equal(decode(array), new TextDecoder().decode(array), String(bytes));
  }
  assert.throws(() => decode(new Uint8Array([0xff]), true), TypeError);
});

test("random numbers are spread, and differ from run to run", () => {
  const { random } = Math;
  const draw = () => Array.from({ length: 1000 }, Math.random);
  reseed(true);
  const first = draw();
  reseed(true);
  const second = draw();
  Math.random = random;
  assert.notDeepEqual(first, second);
  assert.ok(first.every((value) => value >= 0 && value < 1) && new Set(first).size === 1000);
  const mean = first.reduce((sum, value) => sum + value) / 1000;
  assert.ok(Math.abs(mean - 0.5) < 0.06, String(mean));
});

test("the depth of a text is that of its brackets, not of its strings", () => {
  assert.equal(depth('{"a":[1,{"b":"[[[\\"[[[\\\\"}],"c":[]}'), 3);
  assert.equal(depth('"x"'), 0);
  assert.equal(depth('["' + '\\"'.repeat(500_000)), 1);
});
