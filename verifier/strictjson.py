"""JSON as ``format.md`` section 2 has it: one meaning for a string of bytes, or none.

The parser is a loop over tokens with its own stack, so depth costs no recursion and the
bytes can be anything. What it refuses that others accept: whitespace outside strings,
doubled names, lone surrogates, U+0000, integers beyond 2**53 - 1, ``-0``, numbers that no
binary64 holds, more than 64 levels.

>>> parse(b'{"a":[1,2.5]}')
{'a': [1, 2.5]}
>>> viable(b'{"a":[1,2.')
True
"""

import json
import math
import re
from typing import Any

__all__ = ["LIMIT", "MAX_DEPTH", "NotStrictJson", "parse", "viable"]

LIMIT = 2**53 - 1
MAX_DEPTH = 64

_MAX_DIGITS = 16  # of 2**53 - 1; more are never turned into an int, whose cost is quadratic
_PLAIN = r'[^"\\\x00-\x1f]*'
_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_STRING = rf'"{_PLAIN}(?:{_ESCAPE}{_PLAIN})*'
_TOKEN = re.compile(
    rf'{_STRING}"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|[\[\]{{}}:,]'
)
_CUT_TOKEN = re.compile(
    rf"{_STRING}(?:\\(?:u[0-9a-fA-F]{{0,3}})?)?"
    r"|-(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+[eE][+-]?)?|[eE][+-]?))?"
    r"|(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+[eE][+-]?)?|[eE][+-]?)"
    r"|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?"
)
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_MINUS_ZERO = ("-0",)
_NUMERIC = "-0123456789"
_WORDS = {"true": True, "false": False, "null": None}

# What may come next.
_VALUE, _FIRST_VALUE, _NAME, _FIRST_NAME, _COLON, _COMMA, _END = range(7)


class NotStrictJson(Exception):  # noqa: N818 - reads as what it says, like h11's states
    """The bytes are not JSON of format.md section 2."""


class _Builder:
    """The value so far: a stack of open containers, and what may come next."""

    def __init__(self) -> None:
        self.next = _VALUE
        self.value: Any = None
        self._open: list[Any] = []
        self._names: list[str] = []

    def take(self, token: str) -> None:
        first = token[0]
        if first == '"':
            self._string(_unescape(token))
        elif first in "{[":
            self._enter(first)
        elif first in "}]":
            self._leave(first)
        elif first == ":":
            self._expect(_COLON)
            self.next = _VALUE
        elif first == ",":
            self._expect(_COMMA)
            self.next = _NAME if isinstance(self._open[-1], dict) else _VALUE
        else:
            self._put(_WORDS[token] if token in _WORDS else _number(token))

    def _expect(self, *states: int) -> None:
        if self.next not in states:
            raise NotStrictJson("a token stands where it may not")

    def _string(self, text: str) -> None:
        if self.next not in (_NAME, _FIRST_NAME):
            self._put(text)
            return
        if text in self._open[-1]:
            raise NotStrictJson("a name stands twice in one object")
        self._names.append(text)
        self.next = _COLON

    def _enter(self, bracket: str) -> None:
        if len(self._open) == MAX_DEPTH:
            raise NotStrictJson("nested deeper than 64 levels")
        container: Any = {} if bracket == "{" else []
        self._put(container)
        self._open.append(container)
        self.next = _FIRST_NAME if bracket == "{" else _FIRST_VALUE

    def _leave(self, bracket: str) -> None:
        self._expect(_COMMA, _FIRST_NAME if bracket == "}" else _FIRST_VALUE)
        if isinstance(self._open.pop(), dict) is not (bracket == "}"):
            raise NotStrictJson("a bracket closes what it did not open")
        self.next = _COMMA if self._open else _END

    def _put(self, value: Any) -> None:
        self._expect(_VALUE, _FIRST_VALUE)
        if not self._open:
            self.value = value
            self.next = _END
            return
        if isinstance(self._open[-1], dict):
            self._open[-1][self._names.pop()] = value
        else:
            self._open[-1].append(value)
        self.next = _COMMA


def parse(data: bytes) -> Any:
    """Return the value that *data* is, all of it.

    Raises:
        NotStrictJson: *data* is anything else.
    """
    builder = _Builder()
    text = _decode(data)
    end = _scan(builder, text)
    if end != len(text) or builder.next != _END:
        raise NotStrictJson("not JSON, or more than one value")
    return builder.value


def viable(data: bytes) -> bool:
    """Tell whether more bytes could make strict JSON of *data*, or it already begins with it.

    A cut in the middle of a character or of a token is viable. A complete value with
    anything behind it is too: what follows is not this function's concern.
    """
    builder = _Builder()
    try:
        text = _decode(data, cut=True)
        end = _scan(builder, text, cut=True)
    except NotStrictJson:
        return False
    if builder.next == _END or end == len(text):
        return True
    return _CUT_TOKEN.fullmatch(text, end) is not None


def _scan(builder: _Builder, text: str, *, cut: bool = False) -> int:
    """Feed the tokens of *text* up to the end of the first value.

    Returns where the last token ended. Where *cut*, a number at the very
    end is not judged: what is there may be the beginning of any other.
    """
    at = 0
    while builder.next != _END:
        found = _TOKEN.match(text, at)
        if found is None:
            break
        begin, at = at, found.end()
        token = found.group()
        numeric = cut and token[0] in _NUMERIC
        if numeric and (at == len(text) or _CUT_TOKEN.fullmatch(text, begin)):
            builder.take("0")
            return len(text)
        builder.take(token)
    return at


def _decode(data: bytes, *, cut: bool = False) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if cut and error.reason == "unexpected end of data":
            return data[: error.start].decode("utf-8")
        raise NotStrictJson("not UTF-8") from None


def _unescape(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    text: str = json.loads(token)  # one string whose form the token pattern has proven
    if _FORBIDDEN.search(text):
        raise NotStrictJson("a lone surrogate or U+0000")
    return text


def _number(token: str) -> int | float:
    if any(mark in token for mark in ".eE"):
        value = float(token)
        if not math.isfinite(value):
            raise NotStrictJson("a number that no binary64 holds")
        return value
    if token in _MINUS_ZERO or len(token.lstrip("-")) > _MAX_DIGITS or abs(int(token)) > LIMIT:
        raise NotStrictJson("an integer beyond 2**53 - 1, or -0")
    return int(token)
