// From a packet to an object, by the APRS Protocol Reference 1.0.1. Units are metric, places are degrees.

import { micE } from "./mice.js";

export const KMH = 1.852;
const METRES = 0.3048;

/** Why a packet cannot be read. */
export class Fault extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const HEADER = /^([A-Za-z0-9]{1,9}(?:-[A-Za-z0-9]{1,2})?)>([A-Za-z0-9]{1,6}(?:-[A-Za-z0-9]{1,2})?)((?:,[A-Za-z0-9]+(?:-[A-Za-z0-9]{1,2})?\*?)*):(.*)$/s;

/** `SOURCE>DESTINATION,PATH:DATA` as an object. Its `kind` says which fields there are. */
export function parsePacket(line) {
  const header = HEADER.exec(line);
  if (!header) throw new Fault("bad-header", "it does not begin with SOURCE>DESTINATION,PATH:");
  const [, source, destination, path, data] = header;
  if (data === "") throw new Fault("no-data", "nothing follows the header");
  const hops = path ? path.slice(1).split(",") : [];
  return { source, destination, path: hops, ...parseData(data, destination) };
}

function parseData(data, destination) {
  const rest = data.slice(1);
  switch (data[0]) {
    case "!":
    case "=":
      return { kind: "position", messaging: data[0] === "=", ...place(rest) };
    case "/":
    case "@":
      return { kind: "position", messaging: data[0] === "@", time: time(rest), ...place(rest.slice(7)) };
    case "`":
    case "'":
      return { kind: "position", ...micE(destination, rest) };
    case ":":
      return message(rest);
    case ";":
      return object(rest);
    case ")":
      return item(rest);
    case ">":
      return status(rest);
    case "T":
      return telemetry(data);
    case "_":
      return { kind: "weather", time: rest.slice(0, 8), weather: weather(rest.slice(8)).weather };
    default:
      return { kind: "other", data };
  }
}

/** Latitude, longitude, symbol and what follows. */
function place(text) {
  const found = /^[0-9]/.test(text) ? plainPlace(text) : compressedPlace(text);
  const { comment, ...extra } = extension(found);
  return { ...found.place, ...extra, comment };
}

function plainPlace(text) {
  const match = /^(\d\d)([\d ]{2})\.([\d ]{2})([NSns])(.)(\d{3})([\d ]{2})\.([\d ]{2})([EWew])(.)(.*)$/s.exec(text);
  if (!match) throw new Fault("bad-position", "its position is not of the form 4903.50N/07201.75W-");
  const [, latD, latM, latF, ns, table, lonD, lonM, lonF, ew, code, rest] = match;
  // Digits that are left out make the place as large as they leave open: its middle is meant.
  const blank = [...(latM + latF)].filter((one) => one === " ").length;
  const minutes = (whole, fraction) => Number(`${whole}.${fraction}`.replace(" ", "5").replaceAll(" ", "0"));
  const lat = Number(latD) + minutes(latM, latF) / 60;
  const lon = Number(lonD) + minutes(lonM, lonF) / 60;
  if (lat > 90 || lon > 180) throw new Fault("bad-position", "its position is not on the globe");
  const signed = { lat: round(/s/i.test(ns) ? -lat : lat), lon: round(/w/i.test(ew) ? -lon : lon) };
  return { place: { ...signed, ambiguity: blank, symbol: table + code }, code, rest };
}

function compressedPlace(text) {
  const match = /^([/\\A-Za-j])([!-{]{4})([!-{]{4})([!-~])([ -{])([!-{])([!-{])(.*)$/s.exec(text);
  if (!match) throw new Fault("bad-position", "its position is neither plain nor compressed");
  const [, table, y, x, code, c, s, t, rest] = match;
  const base91 = (digits) => [...digits].reduce((sum, one) => sum * 91 + one.charCodeAt(0) - 33, 0);
  const lat = 90 - base91(y) / 380926;
  const lon = -180 + base91(x) / 190463;
  const moving = {};
  const [first, second] = [base91(c), base91(s)];
  if (c !== " ") {
    if (((base91(t) >> 3) & 3) === 2) moving.altitude_m = tenth(1.002 ** (first * 91 + second) * METRES);
    else if (c === "{") moving.range_km = tenth(2 * 1.08 ** second * 1.609344);
    else Object.assign(moving, { course: first * 4 || 360, speed_kmh: tenth((1.08 ** second - 1) * KMH) });
  }
  const symbol = (table >= "a" ? String(table.charCodeAt(0) - 97) : table) + code;
  return { place: { lat: round(lat), lon: round(lon), ambiguity: 0, symbol, ...moving }, code, rest };
}

/** Course and speed, weather and altitude out of what follows a position. */
function extension({ code, rest }) {
  const result = {};
  if (code === "_") {
    const wind = /^(\d{3}|\.{3}| {3})\/(\d{3}|\.{3}| {3})/.exec(rest);
    const { weather: measured, left } = weather(wind ? `c${wind[1]}s${wind[2]}${rest.slice(7)}` : rest);
    if (Object.keys(measured).length > 0) return { weather: measured, comment: left.trim() };
  }
  const moving = /^(\d{3})\/(\d{3})/.exec(rest);
  if (moving) {
    if (Number(moving[1]) > 0) result.course = Number(moving[1]);
    result.speed_kmh = tenth(Number(moving[2]) * KMH);
    rest = rest.slice(7);
  }
  const altitude = /\/A=(-\d{5}|\d{6})/.exec(rest);
  if (altitude) {
    result.altitude_m = tenth(Number(altitude[1]) * METRES);
    rest = rest.replace(altitude[0], "");
  }
  return { ...result, comment: rest.trim() };
}

const WEATHER = {
  c: ["wind_direction", (value) => value],
  s: ["wind_kmh", (value) => tenth(value * 1.609344)],
  g: ["gust_kmh", (value) => tenth(value * 1.609344)],
  t: ["temperature_c", (value) => tenth(((value - 32) * 5) / 9)],
  r: ["rain_1h_mm", (value) => tenth(value * 0.254)],
  p: ["rain_24h_mm", (value) => tenth(value * 0.254)],
  P: ["rain_since_midnight_mm", (value) => tenth(value * 0.254)],
  h: ["humidity_percent", (value) => value || 100],
  b: ["pressure_hpa", (value) => value / 10],
};

/** Letters with digits behind them; dots or blanks for what is not measured. */
function weather(text) {
  const measured = {};
  for (;;) {
    const field = /^([csgrpP])(-?\d{2,3}|\.{3}| {3})|^(t)(-?\d{2,3}|\.{3}| {3})|^(h)(\d{2}|\.{2}| {2})|^(b)(\d{5}|\.{5}| {5})/.exec(text);
    if (!field) return { weather: measured, left: text };
    const [letter, digits] = field.slice(1).filter((part) => part !== undefined);
    const [name, convert] = WEATHER[letter];
    if (/\d/.test(digits)) measured[name] = convert(Number(digits));
    text = text.slice(field[0].length);
  }
}

function message(text) {
  const match = /^(.{9}):(.*)$/s.exec(text);
  if (!match) throw new Fault("bad-message", "its addressee is not nine letters between colons");
  const [, to, body] = match;
  const answer = /^(ack|rej)([A-Za-z0-9]{1,5})$/.exec(body.trimEnd());
  const addressee = to.trimEnd();
  if (answer) return { kind: answer[1] === "ack" ? "acknowledgement" : "rejection", to: addressee, number: answer[2] };
  const numbered = /^(.*)\{([A-Za-z0-9]{1,5})\}?$/s.exec(body);
  const result = { kind: addressee.startsWith("BLN") ? "bulletin" : "message", to: addressee };
  return numbered ? { ...result, text: numbered[1], number: numbered[2] } : { ...result, text: body };
}

function object(text) {
  const match = /^(.{9})([*_])(.{7})(.*)$/s.exec(text);
  if (!match) throw new Fault("bad-object", "its name is not nine letters with a `*` or `_` behind them");
  const [, name, alive, when, rest] = match;
  return { kind: "object", name: name.trimEnd(), alive: alive === "*", time: time(when), ...place(rest) };
}

function item(text) {
  const match = /^([^!_]{3,9})([!_])(.*)$/s.exec(text);
  if (!match) throw new Fault("bad-item", "its name is not three to nine letters with a `!` or `_` behind them");
  return { kind: "item", name: match[1].trimEnd(), alive: match[2] === "!", ...place(match[3]) };
}

function status(text) {
  return /^\d{6}z/.test(text)
    ? { kind: "status", time: time(text), text: text.slice(7) }
    : { kind: "status", text };
}

function telemetry(text) {
  const match = /^T#(MIC|\d{1,5}),?((?:-?[\d.]+,?){1,5})([01]{8})?(.*)$/s.exec(text);
  if (!match) throw new Fault("bad-telemetry", "it is not of the form T#005,199,000,255,073,123,01101001");
  const [, sequence, analog, bits, comment] = match;
  const values = analog.split(",").filter((value) => value !== "").map(Number);
  if (values.some(Number.isNaN)) throw new Fault("bad-telemetry", "one of its values is no number");
  const result = { kind: "telemetry", sequence, analog: values };
  if (bits) result.digital = [...bits].map((bit) => bit === "1");
  return comment ? { ...result, comment } : result;
}

/** `092345z` day, hour, minute in UTC; `092345/` in local time; `234517h` hour, minute, second in UTC. */
function time(text) {
  const match = /^(\d\d)(\d\d)(\d\d)([zh/])/.exec(text);
  if (!match) throw new Fault("bad-time", "its time is not of the form 092345z");
  const [a, b, c] = match.slice(1, 4).map(Number);
  const [zone, day, hour, minute, second] = match[4] === "h" ? ["utc", null, a, b, c] : [match[4] === "z" ? "utc" : "local", a, b, c, null];
  if (hour > 23 || minute > 59 || (second ?? 0) > 59 || (day ?? 1) < 1 || (day ?? 1) > 31) {
    throw new Fault("bad-time", "its time does not exist");
  }
  return { zone, ...(day === null ? {} : { day }), hour, minute, ...(second === null ? {} : { second }) };
}

/** To a centimetre or so: more digits say nothing. */
export function round(degrees) {
  return Math.round(degrees * 1e7) / 1e7;
}

export function tenth(value) {
  return Math.round(value * 10) / 10;
}
