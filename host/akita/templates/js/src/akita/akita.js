// Between plain functions and the contract in wit/: JSON in and out, checked inputs, errors, log, progress, durable
// values. It is part of your project; change it as you like.

import { provideConsole, reseed } from "./runtime.js";
import { check, depth, MAX_DEPTH } from "./schema.js";

const JSON_TYPE = "application/json";
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const VERSION = /^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$/;

// What is behind the interfaces: the node's, or in a test those of testing.js.
let host = {};

/** Bytes and what they are: the input of an action without `input`, or an output that is no JSON. */
export class Content {
  constructor(contentType, body) {
    this.contentType = contentType;
    this.body = typeof body === "string" ? new TextEncoder().encode(body) : body;
  }

  text() {
    return new TextDecoder().decode(this.body);
  }
}

/** Throw one to fail. What else is thrown fails the task as well, with the code `exception`. */
export class TaskError extends Error {
  constructor(kind, message, { code, pointer, afterMs } = {}) {
    super(message);
    Object.assign(this, { name: "TaskError", kind, code, pointer, afterMs });
  }

  /** The input is wrong. Details: `code`, a word for programs; `pointer`, where in the JSON. */
  static invalid(message, details) {
    return new TaskError("invalid-input", message, details);
  }

  /** It will not work, and is not tried again. */
  static permanent(message, details) {
    return new TaskError("permanent", message, details);
  }

  /** It may work later: tried again, not before `afterMs` milliseconds. */
  static retryable(message, details) {
    return new TaskError("retryable", message, details);
  }

  static cancelled() {
    return new TaskError("cancelled", "the task was cancelled");
  }

  static unknownAction() {
    return new TaskError("unknown-action", "there is no such action");
  }
}

const write = (level) => (message, fields = {}) =>
  host.log.write(level, String(message), Object.entries(fields).map(([key, value]) => [key, String(value)]));

/** Lines for the operator's log: `log.info("fitted", { width })`. */
export const log = {
  trace: write("trace"),
  debug: write("debug"),
  info: write("info"),
  warn: write("warn"),
  error: write("error"),
};

/** The running attempt. */
export const task = {
  id: () => host.task.id(),
  attempt: () => host.task.attempt(),
  remainingMs: () => Number(host.task.remainingMs()),
  isCancelled: () => host.task.isCancelled(),
  /** Ends the run if the task was cancelled: for your loops. */
  check() {
    if (host.task.isCancelled()) throw TaskError.cancelled();
  },
  /** `total` may be null where it is not known. */
  progress: (done, total = null, note = "") => host.task.progress(done, total, note),
  /** Appends text or bytes to a partial output. */
  emit(chunk) {
    const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
    calling(() => host.task.emit(bytes), (reason) => TaskError.permanent(reason, { code: "output-limit" }));
  },
};

/** Durable values of this plugin on this node. Needs `kv` in component.js, in wit/world.wit, and a grant. */
export const kv = {
  /** `{ value: Uint8Array, version }`, or null. */
  get: (key) => calling(() => host.kv.get(key), kvError),
  getJson(key) {
    const entry = kv.get(key);
    return entry && JSON.parse(new TextDecoder().decode(entry.value));
  },
  /** Answers the version. With `expected`, writes only if that is the present one (0: only if there is none). */
  put(key, value, expected = null) {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return calling(() => host.kv.put(key, bytes, expected), kvError);
  },
  putJson: (key, value, expected = null) => kv.put(key, JSON.stringify(value), expected),
  delete: (key) => calling(() => host.kv.delete(key), kvError),
  keys: (prefix = "", after = null, limit = 1000) => calling(() => host.kv.listKeys(prefix, after, limit), kvError),
};

/** Calls the node. What it throws is the error's value itself, or carries it as `payload`. */
function calling(call, explain) {
  try {
    return call();
  } catch (error) {
    throw explain(error?.payload ?? error);
  }
}

function kvError(error) {
  switch (error?.tag) {
    case "over-quota":
      return TaskError.permanent(`the plugin's values would have more than ${error.val} bytes`, { code: "kv-quota" });
    case "bad-key":
      return TaskError.permanent(error.val, { code: "kv-bad-key" });
    case "conflict":
      return TaskError.retryable(`another run wrote it first: it has version ${error.val}`, { code: "kv-conflict" });
    case "unavailable":
      return TaskError.retryable(error.val, { code: "kv-unavailable" });
    default:
      return error;
  }
}

/**
 * A plugin: `{ name, version, summary, provides, actions: { "an-action": { summary, input, output, idempotent,
 * deterministic, typicalMs, requires, run } } }`. `input` and `output` are JSON Schemas; without `input` an action gets
 * a `Content`. What `run(input)` returns is sent as JSON, or as it is if it is a `Content`.
 */
export function plugin(definition) {
  const { name, version = "0.1.0", actions = {} } = definition;
  const expect = (holds, message) => {
    if (!holds) throw new Error(message);
  };
  expect(NAME.test(name), `the plugin's name \`${name}\` is no lower-case words joined by \`-\``);
  expect(VERSION.test(version), `the version \`${version}\` is not semantic`);
  expect(Object.keys(actions).length > 0, "there is no action");
  for (const [action, { run, summary }] of Object.entries(actions)) {
    expect(NAME.test(action), `the action's name \`${action}\` is no lower-case words joined by \`-\``);
    expect(typeof run === "function", `the action \`${action}\` has no function \`run\``);
    expect(summary, `the action \`${action}\` has no summary`);
  }
  return { provides: [], ...definition, version };
}

/** The export `actions` of a component. */
export function connect(definition, interfaces) {
  host = interfaces;
  provideConsole(log);
  return {
    describe: () => describe(definition),
    run(request) {
      reseed();
      return run(definition, request);
    },
  };
}

function describe({ name, version, summary, provides, actions }) {
  const schema = (value) => (value ? JSON.stringify(value) : null);
  const infos = Object.entries(actions).map(([action, details]) => ({
    name: action,
    summary: details.summary,
    inputSchema: schema(details.input),
    outputSchema: schema(details.output),
    idempotent: details.idempotent ?? false,
    deterministic: details.deterministic ?? false,
    typicalMs: details.typicalMs ?? null,
    requires: details.requires ?? [],
    annotations: [],
  }));
  return { name, version, summary, actions: infos, provides, annotations: [] };
}

function run({ actions }, { action, input }) {
  try {
    if (!Object.hasOwn(actions, action)) throw TaskError.unknownAction();
    const { input: schema, run } = actions[action];
    return output(run(schema ? parse(schema, input) : new Content(input.contentType, input.body)));
  } catch (error) {
    throw failure(error);
  }
}

function parse(schema, { contentType, body }) {
  const media = contentType.split(";")[0].trim().toLowerCase();
  if (media !== JSON_TYPE && !media.endsWith("+json")) {
    throw TaskError.invalid(`the input is ${contentType || "of no type"}, not ${JSON_TYPE}`, { code: "bad-content-type" });
  }
  let value;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    if (depth(text) > MAX_DEPTH) throw new Error(`it is nested more than ${MAX_DEPTH} deep`);
    value = JSON.parse(text);
  } catch (error) {
    throw TaskError.invalid(`the input is no JSON: ${error.message}`, { code: "not-json" });
  }
  const fault = check(schema, value);
  if (fault) throw TaskError.invalid(fault.message, { code: "bad-input", pointer: fault.pointer });
  return value;
}

function output(value) {
  if (value instanceof Promise) throw new Error("`run` must not be async: nothing here has to be awaited");
  if (value instanceof Content) return { contentType: value.contentType, body: value.body };
  return { contentType: JSON_TYPE, body: new TextEncoder().encode(JSON.stringify(value ?? null)) };
}

function failure(error) {
  if (!(error instanceof TaskError)) {
    log.error(error?.stack ? `${error}\n${error.stack}` : String(error));
    error = TaskError.permanent(String(error), { code: "exception" });
  }
  const { kind, message, code = null, pointer = null, afterMs = null } = error;
  const details = { message, code, pointer };
  if (kind === "cancelled" || kind === "unknown-action") return { tag: kind };
  return { tag: kind, val: kind === "retryable" ? [details, afterMs] : details };
}
