// Packets of the APRS Protocol Reference 1.0.1, and what it says of them.

import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "../src/plugin.js";
import { Harness } from "../src/akita/testing.js";

const aprs = new Harness(plugin);

function parse(data, destination = "APRS") {
  const { result, error } = aprs.json("parse", { packet: `N0CALL-9>${destination},WIDE1-1,qAR,GATE*:${data}` });
  assert.equal(error, undefined, JSON.stringify(error));
  return result;
}

function near(actual, expected, slack) {
  assert.ok(Math.abs(actual - expected) <= slack, `${actual} is not ${expected}`);
}

test("the header", () => {
  const packet = parse(">Net Control Center");
  assert.deepEqual(packet, {
    source: "N0CALL-9",
    destination: "APRS",
    path: ["WIDE1-1", "qAR", "GATE*"],
    kind: "status",
    text: "Net Control Center",
  });
});

test("a plain position", () => {
  const packet = parse("!4903.50N/07201.75W-Test 001234");
  near(packet.lat, 49.058333, 1e-6);
  near(packet.lon, -72.029167, 1e-6);
  assert.equal(packet.symbol, "/-");
  assert.equal(packet.comment, "Test 001234");
  assert.equal(packet.messaging, false);
});

test("a position with a time, course, speed and altitude", () => {
  const packet = parse("@092345z4903.50S/07201.75E>088/036/A=001234 on the road");
  assert.deepEqual(packet.time, { zone: "utc", day: 9, hour: 23, minute: 45 });
  assert.equal(packet.messaging, true);
  assert.ok(packet.lat < 0 && packet.lon > 0);
  assert.equal(packet.course, 88);
  near(packet.speed_kmh, 66.7, 0.05);
  near(packet.altitude_m, 376.1, 0.05);
  assert.equal(packet.comment, "on the road");
});

test("an ambiguous position is the middle of what it leaves open", () => {
  const packet = parse("!49  .  N/072  .  W-");
  assert.equal(packet.ambiguity, 4);
  near(packet.lat, 49 + 50 / 60, 1e-6);
});

test("a compressed position", () => {
  const packet = parse("!/5L!!<*e7>7P[");
  near(packet.lat, 49.5, 1e-5);
  near(packet.lon, -72.75, 1e-5);
  assert.equal(packet.symbol, "/>");
  assert.equal(packet.course, 88);
  near(packet.speed_kmh, 36.2 * 1.852, 0.1);
  near(parse("=/5L!!<*e7>{?!").range_km, 20.13 * 1.609344, 0.1);
  near(parse("!/5L!!<*e7OS]S").altitude_m, 10004.52 * 0.3048, 0.1);
});

test("Mic-E", () => {
  const packet = parse('`(_fn"Oj/', "S32UVT");
  near(packet.lat, 33 + 25.64 / 60, 1e-6);
  near(packet.lon, -(112 + 7.74 / 60), 1e-6);
  assert.equal(packet.course, 251);
  near(packet.speed_kmh, 20 * 1.852, 0.05);
  assert.equal(packet.status, "Returning");
  assert.equal(packet.symbol, "/j");
  assert.equal(parse('`(_fn"Oj/"4T}in the field', "S32UVT").altitude_m, 61);
});

test("messages, answers and bulletins", () => {
  assert.deepEqual(parse(":WU2Z     :Testing{003").text, "Testing");
  assert.equal(parse(":WU2Z     :Testing{003").number, "003");
  assert.equal(parse(":KB2ICI-14:ack003").kind, "acknowledgement");
  assert.equal(parse(":BLN3     :Snow expected in Tampa RSN").kind, "bulletin");
});

test("objects and items", () => {
  const leader = parse(";LEADER   *092345z4903.50N/07201.75W>088/036");
  assert.equal(leader.name, "LEADER");
  assert.ok(leader.alive);
  assert.equal(leader.course, 88);
  const aid = parse(")AID #2!4903.50N/07201.75WA");
  assert.equal(aid.name, "AID #2");
  assert.equal(aid.symbol, "/A");
  assert.equal(parse(";LEADER   _092345z4903.50N/07201.75W>").alive, false);
});

test("weather with and without a position", () => {
  const station = parse("!4903.50N/07201.75W_220/004g005t077r000p000P000h50b09900wRSW");
  assert.deepEqual(station.weather, {
    wind_direction: 220,
    wind_kmh: 6.4,
    gust_kmh: 8,
    temperature_c: 25,
    rain_1h_mm: 0,
    rain_24h_mm: 0,
    rain_since_midnight_mm: 0,
    humidity_percent: 50,
    pressure_hpa: 990,
  });
  assert.equal(station.comment, "wRSW");
  assert.deepEqual(parse("_10090556c220s004g...t-05r000p000P000h00b10150").weather.humidity_percent, 100);
  assert.equal(parse("_10090556c220s004g...t-05r000p000P000h00b10150").weather.temperature_c, -20.6);
});

test("telemetry", () => {
  const packet = parse("T#005,199,000,255,073,123,01101001");
  assert.deepEqual(packet.analog, [199, 0, 255, 73, 123]);
  assert.deepEqual(packet.digital, [false, true, true, false, true, false, false, true]);
});

test("what is of another kind is passed on as it is", () => {
  assert.deepEqual(parse("{{user defined").kind, "other");
});

test("what cannot be read says why", () => {
  const code = (packet) => aprs.json("parse", { packet }).error.val.code;
  assert.equal(code("nonsense"), "bad-header");
  assert.equal(code("A>B:"), "no-data");
  assert.equal(code("A>B:!4903.5"), "bad-position");
  assert.equal(code("A>B:!9903.50N/07201.75W-"), "bad-position");
  assert.equal(code("A>B:@992345z4903.50N/07201.75W-"), "bad-time");
  assert.equal(code("A>APRS:`xx"), "bad-mic-e");
  assert.equal(aprs.json("parse", { packet: 3 }).error.val.pointer, "/packet");
});

test("a log is read as far as it goes", () => {
  const { result } = aprs.run("parse-log", "text/plain", "# server\nA>B:>ok\r\nrubbish\n\nC>D:>too\n");
  assert.deepEqual(result.packets.map(({ line }) => line), [2, 5]);
  assert.deepEqual(result.bad.map(({ line, code }) => [line, code]), [[3, "bad-header"]]);
});

test("random bytes are refused and never more", () => {
  let state = 1;
  const random = (below) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
  const kinds = "!=/@`':;)>T_";
  for (let turn = 0; turn < 5000; turn++) {
    const body = Array.from({ length: random(60) }, () => String.fromCharCode(32 + random(95))).join("");
    const { error } = aprs.json("parse", { packet: `A>S32UVT:${kinds[random(kinds.length)]}${body}` });
    assert.ok(error === undefined || error.tag === "invalid-input", JSON.stringify(error));
  }
});
