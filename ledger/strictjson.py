"""Read JSON as strictly as format.md section 2 asks, and write payloads that pass it.

The standard parser is lenient where two readers could come to disagree: it takes
duplicate names, ``NaN``, whitespace, lone surrogates and integers of any size.
Everything of that is refused here before anyone can rely on it.

>>> parse(b'{"a":1}')
{'a': 1}
>>> encode({"a": [1.5, "NaN", None]})
b'{"a":[1.5,"NaN",null]}'
"""

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

from ledger.errors import MalformedError, MisuseError

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1  # beyond it, binary64 readers see another number
_INTEGER_DIGITS = 17  # a longer token is out of range; int() of 5 000 digits would raise

# Possessive, and glad of a missing quote: a hostile line cannot make it backtrack.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SPACE = re.compile(r"\s")
_BRACKETS = re.compile(r"[\[\]{}]")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # an escape, not a backslash before text
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(raw: bytes, *, depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the JSON object that *raw* holds, whose nesting is at most *depth*.

    Raises:
        MalformedError: The bytes break a rule of section 2.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8 at byte {error.start}") from error
    _check_shape(text, depth)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedError("not a JSON object")
    if "\\u" in text:
        _check_strings(value)
    return value


def _check_shape(text: str, depth: int) -> None:
    """Refuse whitespace outside strings, and nesting that is too deep to parse safely."""
    bare = _STRINGS.sub("", text)
    if _SPACE.search(bare):
        raise MalformedError("whitespace outside strings")
    level = 0
    for bracket in _BRACKETS.findall(bare):
        level += 1 if bracket in "[{" else -1
        if level > depth:
            raise MalformedError(f"nested deeper than {depth}")
    if "\0" in text:
        raise MalformedError("U+0000")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedError("a member name occurs twice in one object")
    return result


def _integer(digits: str) -> int:
    if digits == "-0" or len(digits) > _INTEGER_DIGITS or abs(int(digits)) > MAX_INTEGER:
        raise MalformedError(f"integer {digits[:24]} is outside ±(2^53-1) or is -0")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise MalformedError(f"number {digits[:24]} is not a finite binary64")
    return value


def _constant(token: str) -> NoReturn:
    raise MalformedError(f"{token} is not JSON")


def _check_strings(value: object) -> None:
    """Refuse U+0000 and lone surrogates that came in through escapes."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise MalformedError("U+0000")
            if _SURROGATE.search(item):
                raise MalformedError("a lone surrogate")
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def encode(data: dict[str, Any]) -> bytes:
    """Return the one JSON text in which we write *data*, without whitespace.

    msgspec writes NaN as ``null`` and a ``datetime`` as a string without a word,
    so the values are looked at first.

    Raises:
        MisuseError: *data* holds something that section 2 does not allow.
    """
    if type(data) is not dict:
        raise MisuseError(f"data must be an object, found {type(data).__name__}")
    _check_object(data, 2)
    try:
        encoded = _encoder()(data)
    except UnicodeEncodeError as error:
        raise MisuseError("data holds a lone surrogate: text must be valid Unicode") from error
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise MisuseError("data holds U+0000, which databases cut text at")
    return encoded


@lru_cache(maxsize=1)
def _encoder() -> Callable[[Any], bytes]:
    import msgspec  # noqa: PLC0415 - as slow to import as click; only writers need it

    return msgspec.json.Encoder().encode


def _check_object(value: dict[Any, Any], depth: int) -> None:
    """Refuse an object that JSON cannot hold; ``data`` itself stands at depth 2."""
    if depth > MAX_DEPTH:
        raise MisuseError(f"data is nested deeper than {MAX_DEPTH} (the entry itself is depth 1)")
    for name, member in value.items():
        if type(name) is not str:
            raise MisuseError(f"member name {name!r} is not a string")
        if type(member) is not str:
            _check_value(member, depth)


def _check_value(value: Any, depth: int) -> None:
    """Refuse a value, standing in an object or array at *depth*, that JSON cannot hold."""
    kind = type(value)
    if kind is float:
        if value - value != 0.0:  # only NaN and the infinities; faster than math.isfinite
            raise MisuseError(
                f"data holds {value}: JSON has no such number; "
                'record it as "NaN", "Infinity" or "-Infinity" (ledger.number does it)'
            )
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise MisuseError("an integer is outside ±(2^53-1): write it as a string")
    elif kind is dict:
        _check_object(value, depth + 1)
    elif kind is list or kind is tuple:
        if depth >= MAX_DEPTH:
            raise MisuseError(f"data is nested deeper than {MAX_DEPTH} (the entry is depth 1)")
        for member in value:
            _check_value(member, depth + 1)
    elif value is not None and kind is not bool and kind is not str:
        raise MisuseError(f"data holds a {kind.__name__}: only JSON values can be recorded")


def number(value: float) -> float | str:
    """Return *value*, or its name if JSON cannot hold it.

    >>> number(float("inf"))
    'Infinity'
    """
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
