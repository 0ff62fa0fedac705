"""Runs a plugin in an ordinary test, with a pretended node that records what the plugin says. Not part of the component."""

import enum
import json
from dataclasses import dataclass, field, make_dataclass
from types import SimpleNamespace

import akita


class Level(enum.Enum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


def _record(name, *fields):
    return make_dataclass(name, fields)


# The contract's types, as its tools make them.
TYPES = SimpleNamespace(
    Content=_record("Content", "content_type", "body"),
    Request=_record("Request", "action", "input", "annotations"),
    Failure=_record("Failure", "message", "code", "pointer"),
    PluginInfo=_record("PluginInfo", "name", "version", "summary", "actions", "provides", "annotations"),
    ActionInfo=_record(
        "ActionInfo", "name", "summary", "input_schema", "output_schema", "idempotent", "deterministic", "typical_ms",
        "requires", "annotations",
    ),
    TaskError_UnknownAction=_record("TaskError_UnknownAction"),
    TaskError_InvalidInput=_record("TaskError_InvalidInput", "value"),
    TaskError_Retryable=_record("TaskError_Retryable", "value"),
    TaskError_Permanent=_record("TaskError_Permanent", "value"),
    TaskError_Cancelled=_record("TaskError_Cancelled"),
)  # fmt: skip
Entry = _record("Entry", "value", "version")
KvError_Conflict = _record("KvError_Conflict", "value")


class Err(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value


@dataclass
class Outcome:
    """What came of a run, and all that the plugin said meanwhile."""

    content: object = None
    error: object = None
    lines: list = field(default_factory=list)
    progress: list = field(default_factory=list)
    emitted: bytes = b""

    def json(self):
        """The output, which is JSON."""
        assert self.error is None, self.error
        assert self.content.content_type == "application/json", self.content.content_type
        return json.loads(self.content.body)

    def failure(self):
        """Message, code and pointer of what went wrong."""
        assert self.error is not None, "the action did not fail"
        value = self.error.value
        return value[0] if isinstance(value, tuple) else value


class Harness:
    """A plugin with a pretended node around it."""

    def __init__(self, plugin, attempt=1, remaining_ms=3_600_000, cancelled=False, emit_limit=1 << 20):
        self.plugin = plugin
        self.attempt, self.remaining_ms, self.cancelled, self.emit_limit = attempt, remaining_ms, cancelled, emit_limit
        # Values live as long as the harness: several runs see each other's.
        self.values, self.versions = {}, 0

    def describe(self):
        akita.connect(types=TYPES)
        return self.plugin.describe()

    def json(self, action, value):
        """Runs an action on JSON."""
        return self.run(action, "application/json", json.dumps(value).encode())

    def run(self, action, content_type, body):
        """Runs an action on bytes."""
        outcome = Outcome()
        akita.connect(types=TYPES, log=self._log(outcome), task=self._task(outcome), kv=self._kv())
        try:
            outcome.content = self.plugin.run(TYPES.Request(action, TYPES.Content(content_type, body), []))
        except akita.Failed as failed:
            outcome.error = failed.error
        return outcome

    def _log(self, outcome):
        def write(level, message, fields):
            outcome.lines.append((level.name.lower(), message, dict(fields)))

        return SimpleNamespace(Level=Level, write=write)

    def _task(self, outcome):
        def emit(chunk):
            if len(outcome.emitted) + len(chunk) > self.emit_limit:
                raise Err(f"partial output is over its limit of {self.emit_limit} bytes")
            outcome.emitted += chunk

        return SimpleNamespace(
            id=lambda: "test",
            attempt=lambda: self.attempt,
            remaining_ms=lambda: self.remaining_ms,
            is_cancelled=lambda: self.cancelled,
            progress=lambda done, total, note: outcome.progress.append((done, total, note)),
            emit=emit,
        )

    def _kv(self):
        values = self.values

        def put(key, value, expected):
            present = values[key].version if key in values else 0
            if expected is not None and expected != present:
                raise Err(KvError_Conflict(present))
            self.versions += 1
            values[key] = Entry(value, self.versions)
            return self.versions

        def list_keys(prefix, after, limit):
            return sorted(key for key in values if key.startswith(prefix) and (after is None or key > after))[:limit]

        return SimpleNamespace(
            get=values.get, put=put, delete=lambda key: values.pop(key, None) is not None, list_keys=list_keys
        )
