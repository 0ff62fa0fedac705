import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "../src/plugin.js";
import { Harness } from "../src/akita/testing.js";

const aprs = new Harness(plugin);

test("a plain position is written as the reference has it", () => {
  const place = { source: "N0CALL", destination: "APRS", path: ["WIDE1-1"], lat: 49.0583333, lon: -72.0291667 };
  const { result } = aprs.json("position", { ...place, comment: "Test 001234" });
  assert.equal(result.packet, "N0CALL>APRS,WIDE1-1:!4903.50N/07201.75W-Test 001234");
});

test("a compressed one too, rounded where the reference cuts off", () => {
  const moving = { symbol: "/>", course: 88, speed_kmh: 67.04, compressed: true, messaging: true };
  const { result } = aprs.json("position", { source: "N0CALL", lat: 49.5, lon: -72.75, ...moving });
  assert.equal(result.packet, "N0CALL>APZAKT:=/5L!!<*e8>7P!");
});

test("what is written can be read", () => {
  for (const compressed of [false, true]) {
    for (const [lat, lon] of [[0, 0], [-33.865, 151.209], [89.99999, 179.99999], [-90, -180], [90, 180], [59.9999999, 0.9999999]]) {
      const input = { source: "A1B-15", lat, lon, compressed, altitude_m: 1234, course: 360, speed_kmh: 50 };
      const { result, error } = aprs.json("position", input);
      assert.equal(error, undefined, JSON.stringify(error));
      const read = aprs.json("parse", result).result;
      const slack = compressed ? 1e-5 : 1e-4;
      assert.ok(Math.abs(read.lat - lat) < slack && Math.abs(read.lon - lon) < slack, `${result.packet} ${read.lat} ${read.lon}`);
      assert.ok(Math.abs(read.altitude_m - 1234) < 0.3 && read.course === 360);
      assert.ok(Math.abs(read.speed_kmh - 50) < (compressed ? 4 : 1), `${read.speed_kmh}`);
    }
  }
});

test("what cannot be sent is refused with its place", () => {
  const pointer = (change) => aprs.json("position", { source: "N0CALL", lat: 1, lon: 1, ...change }).error.val.pointer;
  assert.equal(pointer({ lat: 91 }), "/lat");
  assert.equal(pointer({ source: "n0call-16" }), "/source");
  assert.equal(pointer({ path: ["WIDE1-1", ""] }), "/path/1");
  assert.equal(pointer({ comment: "umlaut ä" }), "/comment");
  assert.equal(pointer({ colour: "red" }), "/colour");
});
