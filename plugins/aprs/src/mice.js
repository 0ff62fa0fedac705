// Mic-E: a position squeezed into the destination address and nine bytes of data, as most mobile radios send it.

import { Fault, KMH, round, tenth } from "./parse.js";

const STATUS = ["Emergency", "Priority", "Special", "Committed", "Returning", "In Service", "En Route", "Off Duty"];

export function micE(destination, data) {
  const letters = destination.split("-")[0];
  if (!/^[0-9A-LP-Z]{3}[0-9LP-Z]{3}$/.test(letters)) {
    throw new Fault("bad-mic-e", "its destination address is no Mic-E latitude");
  }
  if (data.length < 8) throw new Fault("bad-mic-e", "its data are shorter than eight bytes");
  const { lat, ambiguity } = latitude(letters);
  const bit = (index) => letters[index] >= "P";
  const value = (index) => data.charCodeAt(index) - 28;
  const lon = longitude(value(0), value(1), value(2), bit(4));
  const signed = { lat: round(bit(3) ? lat : -lat), lon: round(bit(5) ? -lon : lon) };
  if (lat > 90 || !(lon >= 0 && lon <= 180)) throw new Fault("bad-position", "its position is not on the globe");
  // Tens of knots and units are spread over two bytes, and hundreds of degrees are with the units.
  let speed = value(3) * 10 + Math.floor(value(4) / 10);
  let course = (value(4) % 10) * 100 + value(5);
  if (speed >= 800) speed -= 800;
  if (course >= 400) course -= 400;
  const moving = { ...(course > 0 ? { course } : {}), speed_kmh: tenth(speed * KMH) };
  return { ...signed, ambiguity, symbol: data[7] + data[6], ...moving, ...status(letters), ...remark(data.slice(8)) };
}

function latitude(letters) {
  const digit = (letter) => {
    if (/[KLZ]/.test(letter)) return " ";
    return /[0-9]/.test(letter) ? letter : String(letter.charCodeAt(0) - (letter >= "P" ? 80 : 65));
  };
  const digits = [...letters].map(digit).join("");
  const minutes = `${digits.slice(2, 4)}.${digits.slice(4)}`.replace(" ", "5").replaceAll(" ", "0");
  const ambiguity = [...digits].filter((one) => one === " ").length;
  return { lat: Number(digits.slice(0, 2)) + Number(minutes) / 60, ambiguity };
}

function longitude(degrees, minutes, hundredths, far) {
  let whole = degrees + (far ? 100 : 0);
  if (whole >= 180 && whole <= 189) whole -= 80;
  else if (whole >= 190 && whole <= 199) whole -= 190;
  return whole + ((minutes >= 60 ? minutes - 60 : minutes) + hundredths / 100) / 60;
}

/** Standard words are known by letters from P on; custom ones, from A to K, mean what a group agrees on. */
function status(letters) {
  const bits = [...letters.slice(0, 3)].map((letter) => (letter >= "P" ? 2 : letter >= "A" && letter <= "K" ? 1 : 0));
  const index = bits.reduce((sum, one) => sum * 2 + (one > 0 ? 1 : 0), 0);
  if (index === 0) return { status: STATUS[0] };
  const kinds = new Set(bits.filter((one) => one > 0));
  if (kinds.size > 1) return {};
  return { status: kinds.has(2) ? STATUS[index] : `Custom-${7 - index}` };
}

/** An altitude is three digits of base 91 before a `}`, in metres above 10 km below the sea. */
function remark(text) {
  const altitude = /^([>\]`']?)([!-{]{3})\}/.exec(text);
  if (!altitude) return { comment: text.trim() };
  const metres = [...altitude[2]].reduce((sum, one) => sum * 91 + one.charCodeAt(0) - 33, 0) - 10_000;
  return { altitude_m: metres, comment: (altitude[1] + text.slice(altitude[0].length)).trim() };
}
