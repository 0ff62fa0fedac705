"""Between plain functions and the contract in wit/: JSON in and out, checked inputs, errors, log, progress, durable
values. It is part of your project; change it as you like.

What a plugin imports has to be imported at the top of its files: the component keeps what was imported when it was
built, and can read no files when it runs.
"""

import dataclasses
import inspect
import json
import re
import traceback
from typing import get_type_hints

from .schema import MAX_DEPTH, Schema, SchemaError, depth, read, schema_of, write

__all__ = ["Content", "Plugin", "Schema", "TaskError", "kv", "log", "task"]

JSON = "application/json"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")

# What is behind the interfaces: the node's, or in a test those of testing.py.
_node = {}


def connect(**interfaces):
    """Says what is behind the interfaces."""
    _node.clear()
    _node.update(interfaces)


@dataclasses.dataclass
class Content:
    """Bytes and what they are: for actions that are not about JSON."""

    content_type: str
    body: bytes

    def text(self):
        return self.body.decode()


class TaskError(Exception):
    """Raise one to fail. What else is raised fails the task as well, with the code `exception`."""

    def __init__(self, kind, message, code=None, pointer=None, after_ms=None):
        super().__init__(message)
        self.kind, self.message, self.code, self.pointer, self.after_ms = kind, message, code, pointer, after_ms

    @classmethod
    def invalid(cls, message, code=None, pointer=None):
        """The input is wrong. `code` is a word for programs, `pointer` the place in the JSON."""
        return cls("invalid-input", message, code, pointer)

    @classmethod
    def permanent(cls, message, code=None, pointer=None):
        """It will not work, and is not tried again."""
        return cls("permanent", message, code, pointer)

    @classmethod
    def retryable(cls, message, code=None, after_ms=None):
        """It may work later: tried again, not before so many milliseconds."""
        return cls("retryable", message, code, None, after_ms)

    @classmethod
    def cancelled(cls):
        return cls("cancelled", "the task was cancelled")


class Failed(Exception):
    """Carries a failure in the contract's own words out of `Plugin.run`."""

    def __init__(self, error):
        super().__init__(error)
        self.error = error


class _Log:
    """Lines for the operator's log: `log.info("fitted", width=3)`."""

    def _write(self, level, message, fields):
        level = getattr(_node["log"].Level, level)
        _node["log"].write(level, str(message), [(key, str(value)) for key, value in fields.items()])

    def trace(self, message, **fields):
        self._write("TRACE", message, fields)

    def debug(self, message, **fields):
        self._write("DEBUG", message, fields)

    def info(self, message, **fields):
        self._write("INFO", message, fields)

    def warn(self, message, **fields):
        self._write("WARN", message, fields)

    def error(self, message, **fields):
        self._write("ERROR", message, fields)


class _Task:
    """The running attempt."""

    def id(self):
        return _node["task"].id()

    def attempt(self):
        return _node["task"].attempt()

    def remaining_ms(self):
        return _node["task"].remaining_ms()

    def is_cancelled(self):
        return _node["task"].is_cancelled()

    def check(self):
        """Ends the run if the task was cancelled: for your loops."""
        if self.is_cancelled():
            raise TaskError.cancelled()

    def progress(self, done, total=None, note=""):
        _node["task"].progress(done, total, note)

    def emit(self, chunk):
        """Appends text or bytes to a partial output."""
        try:
            _node["task"].emit(_bytes(chunk))
        except Exception as error:
            raise TaskError.permanent(str(getattr(error, "value", error)), code="output-limit") from None


class _Kv:
    """Durable values of this plugin on this node. Needs `kv` in component.py, in wit/world.wit, and a grant."""

    def get(self, key):
        """An entry with `value` (bytes) and `version`, or None."""
        return self._call("get", key)

    def get_json(self, key):
        entry = self.get(key)
        return None if entry is None else json.loads(entry.value)

    def put(self, key, value, expected=None):
        """Answers the version. With `expected`, writes only if that is the present one (0: only if there is none)."""
        return self._call("put", key, _bytes(value), expected)

    def put_json(self, key, value, expected=None):
        return self.put(key, json.dumps(value), expected)

    def delete(self, key):
        return self._call("delete", key)

    def keys(self, prefix="", after=None, limit=1000):
        return self._call("list_keys", prefix, after, limit)

    def _call(self, name, *arguments):
        try:
            return getattr(_node["kv"], name)(*arguments)
        except Exception as error:
            raise _kv_error(getattr(error, "value", error)) from None


log = _Log()
task = _Task()
kv = _Kv()


def _kv_error(error):
    value = getattr(error, "value", None)
    match type(error).__name__:
        case "KvError_OverQuota":
            return TaskError.permanent(f"the plugin's values would have more than {value} bytes", code="kv-quota")
        case "KvError_BadKey":
            return TaskError.permanent(value, code="kv-bad-key")
        case "KvError_Conflict":
            return TaskError.retryable(f"another run wrote it first: it has version {value}", code="kv-conflict")
        case "KvError_Unavailable":
            return TaskError.retryable(value, code="kv-unavailable")
    return error if isinstance(error, Exception) else RuntimeError(error)


def _bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


@dataclasses.dataclass
class _Action:
    name: str
    summary: str
    run: object
    takes: object
    details: dict


class Plugin:
    """A name and its actions."""

    def __init__(self, name, version, summary, provides=()):
        if not NAME.fullmatch(name):
            raise ValueError(f"the plugin's name `{name}` is no lower-case words joined by `-`")
        if not VERSION.fullmatch(version):
            raise ValueError(f"the version `{version}` is not semantic")
        self.name, self.version, self.summary, self.provides = name, version, summary, list(provides)
        self.actions = {}

    def action(self, name=None, **details):
        """Makes an action of a function with one parameter. The types of parameter and result (dataclasses, str, int,
        float, bool, list, dict, Optional, Literal, Annotated with a `Schema`) become the JSON schemas and are checked; a `Content`
        is taken and given as it is. The first line of the documentation is the summary.

        Details: idempotent, deterministic, typical_ms, requires, input_schema, output_schema (dicts).
        """

        def add(function):
            action = _action(function, name, details)
            if action.name in self.actions:
                raise ValueError(f"two actions are called `{action.name}`")
            self.actions[action.name] = action
            return function

        return add

    def describe(self):
        if not self.actions:
            raise ValueError("there is no action")
        types = _node["types"]
        infos = [
            types.ActionInfo(
                name=action.name,
                summary=action.summary,
                input_schema=_json(action.details["input_schema"]),
                output_schema=_json(action.details["output_schema"]),
                idempotent=action.details.get("idempotent", False),
                deterministic=action.details.get("deterministic", False),
                typical_ms=action.details.get("typical_ms"),
                requires=list(action.details.get("requires", ())),
                annotations=[],
            )
            for action in self.actions.values()
        ]
        return types.PluginInfo(self.name, self.version, self.summary, infos, self.provides, [])

    def run(self, request):
        """Runs one action. Raises `Failed`."""
        types = _node["types"]
        try:
            action = self.actions.get(request.action)
            if action is None:
                raise Failed(types.TaskError_UnknownAction())
            content = _output(action.run(_input(action.takes, request.input)))
            return types.Content(content.content_type, content.body)
        except Failed:
            raise
        except TaskError as error:
            raise Failed(_failure(types, error)) from None
        except Exception as error:
            log.error("".join(traceback.format_exception(error)))
            message = f"{type(error).__name__}: {error}"
            raise Failed(_failure(types, TaskError.permanent(message, code="exception"))) from None


def _action(function, name, details):
    name = name or function.__name__.strip("_").replace("_", "-")
    if not NAME.fullmatch(name):
        raise ValueError(f"the action's name `{name}` is no lower-case words joined by `-`")
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    if not summary:
        raise ValueError(f"the action `{name}` has no documentation: its first line is the summary")
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 1 or parameters[0] not in hints:
        raise ValueError(f"the action `{name}` must have one parameter, with a type")
    takes, gives = hints[parameters[0]], hints.get("return")
    schema = lambda kind: None if kind in (None, Content) else schema_of(kind)  # noqa: E731
    schemas = {"input_schema": schema(takes), "output_schema": schema(gives)}
    return _Action(name, summary, function, takes, schemas | details)


def _json(schema):
    return None if schema is None else json.dumps(schema, separators=(",", ":"))


def _input(takes, content):
    if takes is Content:
        return Content(content.content_type, content.body)
    media = content.content_type.partition(";")[0].strip().lower()
    if media != JSON and not media.endswith("+json"):
        raise TaskError.invalid(f"the input is {media or 'of no type'}, not {JSON}", code="bad-content-type")
    try:
        if depth(content.body) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        value = json.loads(content.body.decode(), parse_constant=_no_constant)
    except ValueError as error:
        raise TaskError.invalid(f"the input is no JSON: {error}", code="not-json") from None
    try:
        return read(takes, value)
    except SchemaError as error:
        raise TaskError.invalid(error.message, code="bad-input", pointer=error.pointer) from None


def _no_constant(word):
    raise ValueError(f"{word} is no JSON")


def _output(value):
    if isinstance(value, Content):
        return Content(value.content_type, _bytes(value.body))
    text = json.dumps(write(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Content(JSON, text.encode())


def _failure(types, error):
    details = types.Failure(error.message, error.code, error.pointer)
    match error.kind:
        case "invalid-input":
            return types.TaskError_InvalidInput(details)
        case "retryable":
            return types.TaskError_Retryable((details, error.after_ms))
        case "cancelled":
            return types.TaskError_Cancelled()
    return types.TaskError_Permanent(details)
