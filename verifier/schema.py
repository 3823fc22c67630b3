"""A small, strict evaluator of the JSON Schemas that the event vocabulary publishes.

It knows the keywords that those schemas use and no others: an unknown keyword is
refused when the schema is loaded, so that nothing is silently left unchecked.
Where JSON Schema is lenient this is not: ``true`` is not 1, and ``1.0`` is a
number but no integer (format.md section 2 tells the two apart by their tokens).

>>> check = compile_schema({"type": "object", "properties": {"iter": {"type": "integer"}},
...                         "required": ["iter"], "additionalProperties": False})
>>> check({"iter": 3}) is None
True
>>> check({"iter": 3.0})
'iter: expected an integer, found a number'
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

__all__ = ["Check", "SchemaError", "clip", "compile_schema", "load_schemas"]

Check = Callable[[object], str | None]
"""Returns ``None``, or where the value is at fault and why."""

_PUBLISHED = Path(__file__).with_name("schemas.json")

_ANNOTATIONS = frozenset({"title", "description", "default", "$defs"})
_OBJECT = frozenset({"properties", "required", "additionalProperties"})
_ARRAY = frozenset({"items", "prefixItems", "minItems", "maxItems"})
_STRING = frozenset({"pattern", "minLength", "maxLength"})
_NUMBER = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": _OBJECT,
    "array": _ARRAY,
    "string": _STRING,
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": frozenset(),
    "null": frozenset(),
}
_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}
_CLASSES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
# One anchored piece without alternatives or escapes: the same language for every regex engine.
# (Python's `$` would also match before a final line feed, and its `\d` other scripts' digits.)
_PATTERN = re.compile(r"\^([^\\|$^]|\[[^\\\]]*\])*\$")
_SHOWN = 60


class SchemaError(Exception):
    """A schema that this evaluator cannot check in full."""


def load_schemas(path: Path = _PUBLISHED) -> dict[str, Check]:
    """Return a check for each event type of the published schemas.

    Raises:
        SchemaError: The file is not JSON, or a schema uses something unknown.
    """
    try:
        published = json.loads(path.read_bytes())
    except ValueError as error:
        raise SchemaError(f"{path.name}: {error}") from error
    if type(published) is not dict:
        raise SchemaError(f"{path.name}: expected an object of schemas")
    return {name: compile_schema(schema) for name, schema in published.items()}


def compile_schema(schema: object) -> Check:
    """Return the closure that checks a value against *schema*.

    Raises:
        SchemaError: The schema uses a keyword, a type or a form that is not known here.
    """
    definitions = _mapping(_mapping(schema, "schema").get("$defs", {}), "$defs")
    return _Compiler(definitions).compile(schema)


class _Compiler:
    """Turns the schemas of one document into closures; each definition once."""

    def __init__(self, definitions: Mapping[str, object]) -> None:
        self._definitions = definitions
        self._compiled: dict[str, Check | None] = {}

    def compile(self, schema: object) -> Check:
        known = _mapping(schema, "schema")
        words = set(known) - _ANNOTATIONS
        if words == {"$ref"}:
            return self._reference(known["$ref"])
        if words == {"anyOf"}:
            return self._any_of(known["anyOf"])
        kind = known.get("type")
        if type(kind) is not str or kind not in _KEYWORDS:
            raise SchemaError(f"expected a known type, found {kind!r}")
        unknown = words - _KEYWORDS[kind] - {"type", "enum", "const"}
        if unknown:
            raise SchemaError(f"unknown keywords for {kind}: {', '.join(sorted(unknown))}")
        return self._typed(kind, known)

    def _typed(self, kind: str, schema: Mapping[str, object]) -> Check:
        checks = []
        if "enum" in schema:
            checks.append(_one_of(_sequence(schema["enum"], "enum")))
        if "const" in schema:
            checks.append(_one_of([schema["const"]]))
        if kind == "object":
            checks.append(self._object(schema))
        if kind == "array":
            checks.append(self._array(schema))
        if kind == "string":
            checks.extend(_string(schema))
        if kind in {"integer", "number"}:
            checks.extend(_number(schema))
        return _all_of(_CLASSES[kind], _NAMES[_CLASSES[kind][-1]], checks)

    def _reference(self, reference: object) -> Check:
        name = reference.removeprefix("#/$defs/") if type(reference) is str else ""
        if name not in self._definitions or reference != f"#/$defs/{name}":
            raise SchemaError(f"unknown $ref {reference!r}")
        if name not in self._compiled:
            self._compiled[name] = None
            self._compiled[name] = self.compile(self._definitions[name])
        check = self._compiled[name]
        if check is None:
            raise SchemaError(f"{reference!r} refers to itself")
        return check

    def _any_of(self, options: object) -> Check:
        checks = tuple(self.compile(option) for option in _sequence(options, "anyOf"))

        def any_of(value: object) -> str | None:
            faults = []
            for check in checks:
                fault = check(value)
                if fault is None:
                    return None
                faults.append(fault)
            return " or ".join(dict.fromkeys(faults))

        return any_of

    def _object(self, schema: Mapping[str, object]) -> Check:
        members = {
            name: self.compile(member)
            for name, member in _mapping(schema.get("properties", {}), "properties").items()
        }
        required = tuple(
            _text(name, "required") for name in _sequence(schema.get("required", []), "required")
        )
        rest = schema.get("additionalProperties", True)
        others = None if type(rest) is bool else self.compile(rest)
        closed = rest is False

        def check_object(value: object) -> str | None:
            given = cast("dict[str, object]", value)
            for name in required:
                if name not in given:
                    return f"{name}: missing"
            for name, member in given.items():
                check = members.get(name, others)
                if check is None:
                    if closed:
                        return f"{clip(name)}: not a member of this payload"
                    continue
                fault = check(member)
                if fault is not None:
                    return _at(clip(name), fault)
            return None

        return check_object

    def _array(self, schema: Mapping[str, object]) -> Check:
        first = tuple(
            self.compile(item) for item in _sequence(schema.get("prefixItems", []), "prefixItems")
        )
        rest = self.compile(schema["items"]) if "items" in schema else None
        least, most = _length(schema, "minItems"), _length(schema, "maxItems")

        def check_array(value: object) -> str | None:
            given = cast("list[object]", value)
            fault = _measure(len(given), least, most, unit="items")
            if fault is not None:
                return fault
            for place, item in enumerate(given):
                check = first[place] if place < len(first) else rest
                fault = None if check is None else check(item)
                if fault is not None:
                    return _at(str(place), fault)
            return None

        return check_array


def _all_of(classes: tuple[type, ...], name: str, checks: list[Check]) -> Check:
    """The check of a type and what is said beside it; ``type()`` tells true from 1."""
    rest = tuple(checks)

    def all_of(value: object) -> str | None:
        if type(value) not in classes:
            return f"expected {name}, found {_NAMES.get(type(value), 'something else')}"
        for check in rest:
            fault = check(value)
            if fault is not None:
                return fault
        return None

    return all_of


def _one_of(allowed: list[object]) -> Check:
    values = frozenset(
        (type(value), value) for value in allowed if isinstance(value, str | int | None)
    )
    if len(values) != len(allowed):
        raise SchemaError("enum and const must be distinct strings, integers, booleans or null")
    shown = ", ".join(json.dumps(value) for value in allowed)

    def one_of(value: object) -> str | None:
        if isinstance(value, str | int | None) and (type(value), value) in values:
            return None
        return f"expected one of {shown}, found {clip(value)}"

    return one_of


def _string(schema: Mapping[str, object]) -> list[Check]:
    checks: list[Check] = []
    least, most = _length(schema, "minLength"), _length(schema, "maxLength")
    if least is not None or most is not None:
        checks.append(lambda value: _measure(len(str(value)), least, most, unit="characters"))
    if "pattern" in schema:
        checks.append(_matches(_text(schema["pattern"], "pattern")))
    return checks


def _matches(pattern: str) -> Check:
    if _PATTERN.fullmatch(pattern) is None:
        raise SchemaError(f"pattern {pattern!r} is not of the simple anchored form")
    try:
        match = re.compile(pattern[1:-1]).fullmatch
    except re.error as error:
        raise SchemaError(f"pattern {pattern!r}: {error}") from error

    def matches(value: object) -> str | None:
        return None if match(str(value)) else f"does not match {pattern}, found {clip(value)}"

    return matches


def _number(schema: Mapping[str, object]) -> list[Check]:
    compare: Mapping[str, tuple[str, Callable[[float, float], bool]]] = {
        "minimum": ("at least", lambda value, bound: value >= bound),
        "maximum": ("at most", lambda value, bound: value <= bound),
        "exclusiveMinimum": ("more than", lambda value, bound: value > bound),
        "exclusiveMaximum": ("less than", lambda value, bound: value < bound),
    }
    return [
        _bounded(compare[word][0], compare[word][1], bound=schema[word])
        for word in sorted(_NUMBER & set(schema))
    ]


def _bounded(words: str, holds: Callable[[float, float], bool], *, bound: object) -> Check:
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise SchemaError(f"a bound must be a number, found {bound!r}")
    limit = bound

    def bounded(value: object) -> str | None:
        if isinstance(value, int | float) and holds(value, limit):
            return None
        return f"expected {words} {limit}, found {clip(value)}"

    return bounded


def _measure(size: int, least: int | None, most: int | None, *, unit: str) -> str | None:
    if least is not None and size < least:
        return f"expected at least {least} {unit}, found {size}"
    if most is not None and size > most:
        return f"expected at most {most} {unit}, found {size}"
    return None


def _length(schema: Mapping[str, object], word: str) -> int | None:
    bound = schema.get(word)
    if word in schema and (type(bound) is not int or bound < 0):
        raise SchemaError(f"{word} must be a count, found {bound!r}")
    return bound if isinstance(bound, int) else None


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise SchemaError(f"{what} must be an object, found {value!r}")
    return value


def _sequence(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise SchemaError(f"{what} must be an array, found {value!r}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise SchemaError(f"{what} must be a string, found {value!r}")
    return value


def _at(name: str, fault: str) -> str:
    """Put *name* before the place that *fault* begins with."""
    head, colon, _ = fault.partition(": ")
    joint = "." if colon and " " not in head else ": "
    return f"{name}{joint}{fault}"


def clip(value: object) -> str:
    """Return a hostile value as ASCII, short enough for a message."""
    text = value if isinstance(value, str) else json.dumps(value)
    shown = json.dumps(text[:_SHOWN])[1:-1] if isinstance(value, str) else text[:_SHOWN]
    return shown if len(text) <= _SHOWN else f"{shown}…"
