// What the interpreter in the component, QuickJS, does not bring: TextEncoder, TextDecoder and console. And a Math.random
// that differs from run to run: each begins with the interpreter as it was built, its generator included.

/** The UTF-8 of a text. */
export function encode(text) {
  text = String(text);
  // Escapes are the interpreter's own way to UTF-8, and far faster than a loop over characters.
  const binary = /^[\x00-\x7f]*$/.test(text) ? text : unescape(encodeURIComponent(text.toWellFormed()));
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/** The text of UTF-8. What is none is an error if `fatal`, and becomes U+FFFD otherwise. */
export function decode(bytes, fatal = false) {
  let binary = "";
  // A call has room for so many arguments.
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  if (/^[\x00-\x7f]*$/.test(binary)) return binary;
  let text;
  try {
    text = decodeURIComponent(escape(binary));
  } catch {
    if (fatal) throw new TypeError("it is no UTF-8");
    text = binary.replace(SEQUENCE, repaired);
  }
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

// One character of more than one byte, whole or broken.
const SEQUENCE = /[\xc2-\xdf][\x80-\xbf]?|[\xe0-\xef][\x80-\xbf]{0,2}|[\xf0-\xf4][\x80-\xbf]{0,3}|[\x80-\xff]/g;

function repaired(sequence) {
  try {
    return decodeURIComponent(escape(sequence));
  } catch {
    return "\ufffd";
  }
}

class Encoder {
  encoding = "utf-8";

  encode(text = "") {
    return encode(text);
  }
}

class Decoder {
  encoding = "utf-8";

  constructor(label = "utf-8", { fatal = false } = {}) {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`${label} is not supported, utf-8 is`);
    this.fatal = fatal;
  }

  decode(bytes = new Uint8Array()) {
    return decode(ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes), this.fatal);
  }
}

globalThis.TextEncoder ??= Encoder;
globalThis.TextDecoder ??= Decoder;

/** Sends `console` to the log, where there is no console. */
export function provideConsole(log) {
  const say = (write) => (...words) => write(words.map(shown).join(" "));
  const { debug, info, warn, error } = log;
  globalThis.console ??= { debug: say(debug), log: say(info), info: say(info), warn: say(warn), error: say(error) };
}

function shown(word) {
  if (typeof word === "string") return word;
  if (word instanceof Error) return `${word}\n${word.stack}`;
  try {
    return JSON.stringify(word) ?? String(word);
  } catch {
    return String(word);
  }
}

/** Math.random from the clocks, which a node that runs deterministically sets itself. Not for secrets. Elsewhere it needs none. */
export function reseed(needed = typeof process === "undefined") {
  if (!needed) return;
  let state = 0;
  for (const word of [Date.now(), performance.now() * 1e6]) {
    for (const part of [word >>> 0, (word / 2 ** 32) >>> 0]) state = mix(state ^ part);
  }
  Math.random = () => {
    // Two draws, for the 53 bits of a number.
    const [high, low] = [mix((state += 0x9e3779b9)) >>> 5, mix((state += 0x9e3779b9)) >>> 6];
    return (high * 2 ** 26 + low) / 2 ** 53;
  };
}

/** The finisher of MurmurHash 3: each bit of the input changes half of those of the output. */
function mix(word) {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}
