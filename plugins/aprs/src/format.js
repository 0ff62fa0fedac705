// From a place to a packet.

import { KMH } from "./parse.js";

export function formatPosition(input) {
  const { source, destination = "APZAKT", path = [], comment = "", messaging = false, compressed = false } = input;
  const header = [`${source}>${destination}`, ...path].join(",");
  const place = compressed ? compressedPlace(input) : plainPlace(input);
  const altitude = input.altitude_m === undefined ? "" : `/A=${feet(input.altitude_m)}`;
  return `${header}:${messaging ? "=" : "!"}${place}${altitude}${comment}`;
}

function plainPlace({ lat, lon, symbol = "/-", course, speed_kmh: speed }) {
  const [table, code] = symbol;
  const moving = speed === undefined ? "" : `${pad(course ?? 0, 3)}/${pad(Math.min(999, Math.round(speed / KMH)), 3)}`;
  return `${minutes(lat, 2)}${lat < 0 ? "S" : "N"}${table}${minutes(lon, 3)}${lon < 0 ? "W" : "E"}${code}${moving}`;
}

function compressedPlace({ lat, lon, symbol = "/-", course, speed_kmh: speed }) {
  const [table, code] = symbol;
  const y = base91(Math.round(380926 * (90 - lat)), 4);
  const x = base91(Math.round(190463 * (180 + lon)), 4);
  // A digit would look like the degrees of a plain position.
  const first = /[0-9]/.test(table) ? String.fromCharCode(97 + Number(table)) : table;
  // No course or speed is a blank; what follows it has no meaning then. `!`: made by software, from an old fix.
  const knots = Math.min(89, Math.round(Math.log(1 + (speed ?? 0) / KMH) / Math.log(1.08)));
  const moving = speed === undefined ? " s" : base91(Math.round((course ?? 0) / 4) % 90, 1) + base91(knots, 1);
  return `${first}${y}${x}${code}${moving}!`;
}

/** Degrees and minutes to a hundredth: `4903.50`. Rounded as a whole, so that there are never 60 minutes. */
function minutes(degrees, width) {
  const hundredths = Math.round(Math.abs(degrees) * 6000);
  const rest = hundredths % 6000;
  return `${pad(Math.floor(hundredths / 6000), width)}${pad(Math.floor(rest / 100), 2)}.${pad(rest % 100, 2)}`;
}

function feet(metres) {
  const whole = Math.round(metres / 0.3048);
  return whole < 0 ? `-${pad(-whole, 5)}` : pad(whole, 6);
}

function base91(value, digits) {
  let text = "";
  // The poles and the date line would need one digit more.
  let rest = Math.min(value, 91 ** digits - 1);
  for (let index = 0; index < digits; index++) {
    text = String.fromCharCode(33 + (rest % 91)) + text;
    rest = Math.floor(rest / 91);
  }
  return text;
}

function pad(value, width) {
  return String(value).padStart(width, "0");
}
