"""The layer between plain functions and the contract, which every new project in Python has a copy of."""

import json
import unittest
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional, Union

from akita import Content, Plugin, Schema, TaskError, kv, log, task
from akita.schema import SchemaError, depth, read, schema_of, write
from akita.testing import Harness


def harness(*functions, **settings):
    plugin = Plugin("helper", version="1.0.0", summary="For tests.")
    for function in functions:
        plugin.action()(function)
    return Harness(plugin, **settings)


@dataclass
class Part:
    size: Annotated[int, Schema(minimum=1, description="How large.")]


@dataclass
class Whole:
    """Of parts."""

    name: Annotated[str, Schema(minLength=1, maxLength=3, pattern="^x")]
    parts: list[Part]
    colour: Literal["red", "green"] = "red"
    weight: Optional[float] = None
    extra: dict[str, int] = field(default_factory=dict)


class Types(unittest.TestCase):
    def test_a_dataclass_becomes_a_schema(self):
        part = {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1, "description": "How large."}}}
        expected = {
            "description": "Of parts.",
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^x"},
                "parts": {"type": "array", "items": part | {"required": ["size"]}},
                "colour": {"enum": ["red", "green"], "default": "red"},
                "weight": {"type": ["number", "null"]},
                "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
            "required": ["name", "parts"],
        }
        self.assertEqual(schema_of(Whole), expected)
        self.assertEqual(schema_of(Union[int, list[str]])["anyOf"][1]["items"], {"type": "string"})
        self.assertEqual(schema_of(tuple[int, str])["maxItems"], 2)
        self.assertEqual(schema_of(Any), {})
        self.assertRaises(TypeError, schema_of, set)

    def test_json_becomes_a_dataclass_and_back(self):
        value = {"name": "xy", "parts": [{"size": 2.0}], "weight": 3, "unknown": 1}
        whole = read(Whole, value)
        self.assertEqual((whole.parts[0].size, whole.weight, whole.colour), (2, 3.0, "red"))
        self.assertEqual(write(whole)["parts"], [{"size": 2}])
        self.assertEqual(read(tuple[int, str], [1, "a"]), (1, "a"))

    def test_each_fault_has_its_place(self):
        good = {"name": "x", "parts": []}
        for change, pointer, message in [
            ({"name": 1}, "/name", "`name` must be string"),
            ({"name": ""}, "/name", "`name` must match ^x"),
            ({"name": "xxxx"}, "/name", "`name` must have at most 3 characters"),
            ({"parts": [{}]}, "/parts/0", "`size` is missing"),
            ({"parts": [{"size": True}]}, "/parts/0/size", "`size` must be integer"),
            ({"parts": [{"size": 0}]}, "/parts/0/size", "`size` must be at least 1"),
            ({"parts": {}}, "/parts", "`parts` must be a list"),
            ({"colour": "blue"}, "/colour", "`colour` must be one of 'red', 'green'"),
            ({"weight": "heavy"}, "/weight", "`weight` must be number"),
            ({"extra": {"a/b": "c"}}, "/extra/a~1b", "`a/b` must be integer"),
        ]:
            with self.assertRaises(SchemaError) as caught:
                read(Whole, good | change)
            self.assertEqual((caught.exception.pointer, caught.exception.message), (pointer, message))
        self.assertRaises(SchemaError, read, Whole, [])
        self.assertRaises(SchemaError, read, float, 10**400)

    def test_the_depth_of_a_text_is_that_of_its_brackets_and_not_of_its_strings(self):
        self.assertEqual(depth(rb'{"a":[1,{"b":"[[[\"[[[\\"}],"c":[]}'), 3)
        self.assertEqual(depth(b'"x"'), 0)
        self.assertEqual(depth(b'["' + rb'\"' * 500_000), 1)


class Actions(unittest.TestCase):
    def test_bytes_go_in_and_out_as_they_are(self):
        def copy(input: Content) -> Content:
            """Copies."""
            return input

        outcome = harness(copy).run("copy", "image/png", b"\x00\xff")
        self.assertEqual((outcome.content.content_type, outcome.content.body), ("image/png", b"\x00\xff"))
        self.assertIsNone(harness(copy).describe().actions[0].input_schema)

    def test_each_kind_of_error_has_its_case_of_the_contract(self):
        def failing(error):
            def fail(input: Any):
                """Fails."""
                raise error

            return harness(fail).json("fail", None)

        invalid = failing(TaskError.invalid("no", code="c", pointer="/a"))
        self.assertEqual(type(invalid.error).__name__, "TaskError_InvalidInput")
        self.assertEqual((invalid.failure().code, invalid.failure().pointer), ("c", "/a"))
        self.assertEqual(failing(TaskError.retryable("later", after_ms=50)).error.value[1], 50)
        self.assertEqual(type(failing(TaskError.cancelled()).error).__name__, "TaskError_Cancelled")
        bug = failing(TypeError("bang"))
        self.assertEqual((bug.failure().message, bug.failure().code), ("TypeError: bang", "exception"))
        self.assertIn("Traceback", bug.lines[0][1])
        self.assertEqual(type(harness().run("no", "", b"").error).__name__, "TaskError_UnknownAction")

    def test_an_input_of_another_kind_is_refused(self):
        def take(input: dict):
            """Takes."""
            return input

        code = lambda *input: harness(take).run("take", *input).failure().code  # noqa: E731
        self.assertEqual(code("text/plain", b"{}"), "bad-content-type")
        for text in (b"{", b"NaN", b"\xff", b"[" * 100_000):
            self.assertEqual(code("application/json", text), "not-json", text[:10])
        self.assertEqual(code("application/json", b"[]"), "bad-input")
        taken = harness(take).run("take", "application/vnd.x+json; charset=utf-8", '{"ä":1}'.encode())
        self.assertEqual(taken.json(), {"ä": 1})

    def test_log_progress_and_partial_output_reach_the_node(self):
        def work(input: Any) -> list:
            """Works."""
            log.warn("careful", width=3)
            task.progress(1, 2, "half")
            task.emit("part")
            return [task.id(), task.attempt(), task.remaining_ms(), task.is_cancelled()]

        outcome = harness(work, attempt=2, remaining_ms=40).json("work", None)
        self.assertEqual(outcome.json(), ["test", 2, 40, False])
        self.assertEqual(outcome.lines, [("warn", "careful", {"width": "3"})])
        self.assertEqual((outcome.progress, outcome.emitted), ([(1, 2, "half")], b"part"))
        self.assertEqual(harness(work, emit_limit=3).json("work", None).failure().code, "output-limit")

    def test_values_are_kept(self):
        def count(input: Any) -> dict:
            """Counts."""
            before = kv.get_json("count") or 0
            kv.put_json("count", before + 1)
            return {"before": before, "keys": kv.keys("c"), "missing": kv.get("other")}

        def stale(input: Any) -> int:
            """Comes too late."""
            return kv.put("count", "x", expected=99)

        counter = harness(count, stale)
        counter.json("count", None)
        self.assertEqual(counter.json("count", None).json(), {"before": 1, "keys": ["count"], "missing": None})
        self.assertEqual(counter.json("stale", None).failure().code, "kv-conflict")

    def test_what_json_does_not_have_is_no_output(self):
        def strange(input: Any) -> float:
            """Not a number."""
            return float("nan")

        self.assertEqual(harness(strange).json("strange", None).failure().code, "exception")

    def test_a_plugin_that_no_node_would_take_is_not_built(self):
        def undocumented(input: Any):
            pass

        def untyped(input):
            """No type."""

        self.assertRaises(ValueError, Plugin, "Bad", "1.0.0", "s")
        self.assertRaises(ValueError, Plugin, "good", "1", "s")
        self.assertRaises(ValueError, harness().describe)
        self.assertRaises(ValueError, harness, undocumented)
        self.assertRaises(ValueError, harness, untyped)

    def test_an_action_is_named_after_its_function(self):
        def day_yield(input: dict) -> dict:
            """Yields.

            And more.
            """
            return input

        info = harness(day_yield).describe().actions[0]
        self.assertEqual((info.name, info.summary), ("day-yield", "Yields."))
        self.assertEqual(json.loads(info.output_schema), {"type": "object"})


if __name__ == "__main__":
    unittest.main()
