// APRS packets, from text to JSON and back: what stations on 144 MHz and 433 MHz say of themselves.

import { log, plugin, TaskError } from "./akita/akita.js";
import { formatPosition } from "./format.js";
import { Fault, parsePacket } from "./parse.js";

const CALL = "^[A-Z0-9]{1,6}(-([0-9]|1[0-5]))?$";

/** Lines in one log: what a busy receiver hears in a day. */
const MAX_LINES = 20_000;

const number = (minimum, maximum, description) => ({ type: "number", minimum, maximum, description });

export default plugin({
  name: "aprs",
  version: "0.1.0",
  summary: "APRS packets, from text to JSON and back.",
  actions: {
    parse: {
      summary: "Reads one packet in monitor format: SOURCE>DESTINATION,PATH:DATA.",
      input: {
        type: "object",
        properties: { packet: { type: "string", minLength: 1, maxLength: 512, description: "One line." } },
        required: ["packet"],
        additionalProperties: false,
      },
      output: { type: "object", properties: { source: { type: "string" }, kind: { type: "string" } }, required: ["source", "kind"] },
      idempotent: true,
      deterministic: true,
      typicalMs: 5,
      run: ({ packet }) => faults(() => parsePacket(packet.replace(/[\r\n]+$/, "")), "/packet"),
    },
    "parse-log": {
      summary: "Reads many packets, one a line: all that can be read, and the lines that cannot.",
      output: {
        type: "object",
        properties: { packets: { type: "array" }, bad: { type: "array" } },
        required: ["packets", "bad"],
      },
      idempotent: true,
      deterministic: true,
      typicalMs: 50,
      run: parseLog,
    },
    position: {
      summary: "Writes a position report.",
      input: {
        type: "object",
        properties: {
          source: { type: "string", pattern: CALL, description: "The station's call sign, such as `N0CALL-9`." },
          destination: { type: "string", pattern: CALL, default: "APZAKT", description: "The software's name." },
          path: { type: "array", maxItems: 8, items: { type: "string", pattern: CALL }, default: [] },
          lat: number(-90, 90, "Degrees, north is positive."),
          lon: number(-180, 180, "Degrees, east is positive."),
          symbol: { type: "string", pattern: "^[/\\\\0-9A-Z][!-~]$", default: "/-", description: "Table and code." },
          course: { ...number(1, 360, "Degrees; only with `speed_kmh`."), type: "integer" },
          speed_kmh: number(0, 1850, "Over ground."),
          altitude_m: number(-3000, 30000, "Above sea level."),
          comment: { type: "string", maxLength: 43, pattern: "^[ -{}~]*$", default: "" },
          compressed: { type: "boolean", default: false, description: "Shorter, and exact to a metre." },
          messaging: { type: "boolean", default: false, description: "The station takes messages." },
        },
        required: ["source", "lat", "lon"],
        additionalProperties: false,
      },
      output: { type: "object", properties: { packet: { type: "string" } }, required: ["packet"] },
      idempotent: true,
      deterministic: true,
      typicalMs: 5,
      run: (input) => ({ packet: formatPosition(input) }),
    },
  },
});

function parseLog(content) {
  const lines = content.text().split(/\r?\n/);
  const packets = [];
  const bad = [];
  if (lines.length > MAX_LINES) {
    throw TaskError.invalid(`there are more than ${MAX_LINES} lines`, { code: "too-long" });
  }
  for (const [index, line] of lines.entries()) {
    // What servers and programs say in between.
    if (line.trim() === "" || line.startsWith("#")) continue;
    try {
      packets.push({ line: index + 1, ...parsePacket(line) });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      bad.push({ line: index + 1, code: error.code, message: error.message });
    }
  }
  log.debug("read a log", { packets: packets.length, bad: bad.length });
  return { packets, bad };
}

function faults(work, pointer) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw TaskError.invalid(error.message, { code: error.code, pointer });
  }
}
