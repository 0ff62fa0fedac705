// Runs a plugin in an ordinary test, with a pretended node that records what the plugin says. Not part of the component.

import { connect } from "./akita.js";

/** A plugin with a pretended node around it. Settings: `attempt`, `remainingMs`, `cancelled`, `emitLimit`. */
export class Harness {
  constructor(plugin, settings = {}) {
    this.plugin = plugin;
    this.settings = { attempt: 1, remainingMs: 3_600_000, cancelled: false, emitLimit: 1 << 20, ...settings };
    this.values = new Map();
    this.versions = 0;
  }

  describe() {
    return connect(this.plugin, {}).describe();
  }

  /** Runs an action on JSON. */
  json(action, input) {
    return this.run(action, "application/json", JSON.stringify(input));
  }

  /**
   * Runs an action on text or bytes. Answers `{ result, error, content, lines, progress, emitted }`: `result` is the JSON
   * of an output that is JSON, `error` an object with `tag` and `val` where the action failed.
   */
  run(action, contentType, body) {
    const record = { lines: [], progress: [], emitted: "" };
    const actions = connect(this.plugin, this.#node(record));
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    try {
      const content = actions.run({ action, input: { contentType, body: bytes }, annotations: [] });
      const text = () => new TextDecoder().decode(content.body);
      const result = content.contentType === "application/json" ? JSON.parse(text()) : undefined;
      return { ...record, content, result };
    } catch (error) {
      return { ...record, error };
    }
  }

  #node(record) {
    const { attempt, remainingMs, cancelled, emitLimit } = this.settings;
    const log = { write: (level, message, fields) => record.lines.push({ level, message, fields: Object.fromEntries(fields) }) };
    const task = {
      id: () => "test",
      attempt: () => attempt,
      remainingMs: () => remainingMs,
      isCancelled: () => cancelled,
      progress: (done, total, note) => record.progress.push({ done, total, note }),
      emit(chunk) {
        const text = record.emitted + new TextDecoder().decode(chunk);
        if (text.length > emitLimit) throw `partial output is over its limit of ${emitLimit} bytes`;
        record.emitted = text;
      },
    };
    return { log, task, kv: this.#kv() };
  }

  /** Values live as long as the harness: several runs see each other's. */
  #kv() {
    const { values } = this;
    return {
      get: (key) => values.get(key) ?? null,
      put: (key, value, expected) => {
        const present = values.get(key)?.version ?? 0;
        if (expected !== null && expected !== present) throw { tag: "conflict", val: present };
        values.set(key, { value, version: ++this.versions });
        return this.versions;
      },
      delete: (key) => values.delete(key),
      listKeys: (prefix, after, limit) =>
        [...values.keys()].filter((key) => key.startsWith(prefix) && (after === null || key > after)).sort().slice(0, limit),
    };
  }
}
