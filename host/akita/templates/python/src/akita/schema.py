"""JSON schemas from types, and values from JSON by types. Dataclasses, str, int, float, bool, None, list, dict with text
keys, tuples of a fixed length, Optional and unions, Literal, and Annotated with a `Schema`."""

import dataclasses
import inspect
import math
import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

BASIC = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

# As deep as the parsers of most languages go. Without a limit, a text of brackets would exhaust the interpreter's stack.
MAX_DEPTH = 128
# One without its end goes to the end: looking for it again from each quote would take for ever.
TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
BRACKETS = re.compile(rb"[\[{\]}]")


class Schema:
    """Keywords of JSON Schema for a type: `Annotated[int, Schema(minimum=1, description="How many.")]`. Checked are
    minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength, minItems, maxItems and pattern."""

    def __init__(self, **keywords):
        self.keywords = keywords


class SchemaError(Exception):
    """What is wrong with a value, and where (RFC 6901)."""

    def __init__(self, message, pointer):
        super().__init__(message)
        self.message, self.pointer = message, pointer


def depth(text):
    """How deep lists and objects lie within each other in a JSON text of UTF-8."""
    here = deepest = 0
    for found in BRACKETS.findall(TEXTS.sub(b"", text)):
        if found in b"[{":
            here += 1
            deepest = max(deepest, here)
        else:
            here -= 1
    return deepest


def schema_of(kind):
    """The JSON schema of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        schema = schema_of(arguments[0])
        for one in arguments[1:]:
            if isinstance(one, Schema):
                schema |= one.keywords
        return schema
    if kind in BASIC:
        return {"type": BASIC[kind]}
    if kind in (Any, object, inspect.Parameter.empty):
        return {}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        if all(one in BASIC for one in arguments):
            return {"type": [BASIC[one] for one in arguments]}
        return {"anyOf": [schema_of(one) for one in arguments]}
    if kind is list or origin is list:
        return {"type": "array"} | ({"items": schema_of(arguments[0])} if arguments else {})
    if kind is dict or origin is dict:
        return {"type": "object"} | ({"additionalProperties": schema_of(arguments[1])} if arguments else {})
    if origin is tuple and arguments and Ellipsis not in arguments:
        count = len(arguments)
        items = {"prefixItems": [schema_of(one) for one in arguments], "minItems": count, "maxItems": count}
        return {"type": "array"} | items
    if dataclasses.is_dataclass(kind):
        return _schema_of_dataclass(kind)
    raise TypeError(f"{kind} has no JSON schema: use a dataclass, or give `input_schema` and take a dict")


def _schema_of_dataclass(kind):
    hints = get_type_hints(kind, include_extras=True)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        properties[field.name] = schema_of(hints[field.name])
        if _is_required(field):
            required.append(field.name)
        elif field.default is not dataclasses.MISSING and field.default is not None:
            properties[field.name]["default"] = write(field.default)
    schema = {"type": "object", "properties": properties, "required": required}
    # A dataclass without documentation of its own is given its signature for it.
    text = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
    return schema if not text or text.startswith(f"{kind.__name__}(") else {"description": text} | schema


def _is_required(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def read(kind, value, pointer=""):
    """A value of that type from parsed JSON. Raises `SchemaError`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        result = read(arguments[0], value, pointer)
        for one in arguments[1:]:
            if isinstance(one, Schema):
                _check(one.keywords, value, pointer)
        return result
    if kind in BASIC:
        return _basic(kind, value, pointer)
    if origin is Literal:
        if any(type(one) is type(value) and one == value for one in arguments):
            return value
        raise _wrong(pointer, "must be one of " + ", ".join(repr(one) for one in arguments))
    if origin in (Union, types.UnionType):
        return _union(arguments, value, pointer)
    if kind is list or origin is list:
        _expect(value, list, "a list", pointer)
        return [read(arguments[0] if arguments else Any, item, f"{pointer}/{i}") for i, item in enumerate(value)]
    if origin is tuple:
        _expect(value, list, "a list", pointer)
        if len(value) != len(arguments):
            raise _wrong(pointer, f"must have {len(arguments)} items")
        return tuple(read(one, item, f"{pointer}/{i}") for i, (one, item) in enumerate(zip(arguments, value)))
    if kind is dict or origin is dict:
        _expect(value, dict, "an object", pointer)
        inner = arguments[1] if arguments else Any
        return {key: read(inner, item, f"{pointer}/{_escaped(key)}") for key, item in value.items()}
    return _dataclass(kind, value, pointer) if dataclasses.is_dataclass(kind) else value


def _basic(kind, value, pointer):
    # In Python a bool is an int, and 1.0 is none; in JSON it is the other way round.
    if kind is float and type(value) in (int, float):
        try:
            return float(value)
        except OverflowError:
            raise _wrong(pointer, "is too large") from None
    if kind is int and type(value) is float and math.isfinite(value) and value == int(value):
        return int(value)
    if type(value) is not kind:
        raise _wrong(pointer, f"must be {BASIC[kind]}")
    return value


def _union(kinds, value, pointer):
    first = None
    for kind in kinds:
        try:
            return read(kind, value, pointer)
        except SchemaError as error:
            first = first or error
    raise first


def _dataclass(kind, value, pointer):
    _expect(value, dict, "an object", pointer)
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            found[field.name] = read(hints[field.name], value[field.name], f"{pointer}/{_escaped(field.name)}")
        elif _is_required(field):
            raise SchemaError(f"`{field.name}` is missing", pointer)
    return kind(**found)


def _check(keywords, value, pointer):
    size, unit = (len(value), "items") if isinstance(value, list) else (None, "")
    least, most = keywords.get("minItems"), keywords.get("maxItems")
    if isinstance(value, str):
        size, unit, least, most = len(value), "characters", keywords.get("minLength"), keywords.get("maxLength")
        if "pattern" in keywords and not re.search(keywords["pattern"], value):
            raise _wrong(pointer, f"must match {keywords['pattern']}")
    if size is not None and least is not None and size < least:
        raise _wrong(pointer, "must not be empty" if least == 1 else f"must have at least {least} {unit}")
    if size is not None and most is not None and size > most:
        raise _wrong(pointer, f"must have at most {most} {unit}")
    if type(value) in (int, float):
        for word, holds, says in _BOUNDS:
            if word in keywords and not holds(value, keywords[word]):
                raise _wrong(pointer, f"must be {says} {keywords[word]}")


_BOUNDS = (
    ("minimum", lambda value, bound: value >= bound, "at least"),
    ("maximum", lambda value, bound: value <= bound, "at most"),
    ("exclusiveMinimum", lambda value, bound: value > bound, "more than"),
    ("exclusiveMaximum", lambda value, bound: value < bound, "less than"),
)


def _expect(value, kind, name, pointer):
    if not isinstance(value, kind):
        raise _wrong(pointer, f"must be {name}")


def _wrong(pointer, message):
    last = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
    return SchemaError(f"`{last}` {message}" if pointer else f"the input {message}", pointer)


def _escaped(key):
    return key.replace("~", "~0").replace("/", "~1")


def write(value):
    """What `json.dumps` takes, from dataclasses and what they hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: write(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: write(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [write(item) for item in value]
    return value
