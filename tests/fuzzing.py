"""A seeded mutator of bytes and of JSON values, for fuzz tests that repeat themselves exactly."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

JUNK = (
    b"",
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\t",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b"==",
    b"null",
    b"true",
    b"NaN",
    b"-0",
    b"1e999",
    b"1e-999",
    b"0",
    b"00",
    b"-1",
    b"9007199254740992",
    b"9" * 400,
    b"\\u0000",
    b"\\ud800",
    b"\\u0061",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    "\u202e".encode(),
    "é".encode(),
    "٣".encode(),
    "\u2014".encode(),
    b"AAAA",
    b"+",
    b"/",
    b"..",
    b"../",
    b"%00",
    b"\x1b[2J",
    b'{"a":' * 70,
    b"[" * 3000,
    b'"a":1,"a":2',
    b'"sig":null}',
    b"\n\n",
    b"\n\xe2\x80\x94 ",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**53 - 1,
    0.5,
    -0.0,
    1e308,
    "",
    "x",
    "NaN",
    "Infinity",
    "0" * 64,
    "é",
    "\u202e",
    [],
    {},
    [[]],
    {"": {}},
    [None],
    "x" * 5000,
    [0] * 50,
    "*",
    "owner",
    "key.*",
)


def seeded(seed: int | str) -> random.Random:
    """Return a source of choices that is the same in every run."""
    return random.Random(seed)  # noqa: S311 - tests repeat themselves; no secret is made here


def mutants(corpus: Sequence[bytes], *, count: int, seed: int) -> Iterator[bytes]:
    """Yield *count* byte strings, each a seed of the corpus with one to three changes."""
    source = seeded(seed)
    for _ in range(count):
        made = bytearray(source.choice(corpus))
        for _ in range(source.choice((1, 1, 1, 2, 3))):
            _change(made, source, corpus)
        yield bytes(made)


def _change(made: bytearray, source: random.Random, corpus: Sequence[bytes]) -> None:
    start = source.randrange(len(made) + 1)
    stop = min(len(made), start + source.choice((0, 1, 1, 2, 4, 16, 64)))
    kind = source.randrange(6)
    if kind == 0 and made:
        made[start - 1] ^= 1 << source.randrange(8)
    elif kind == 1:
        del made[start:stop]
    elif kind == 2:
        made[start:start] = made[start:stop] * source.choice((1, 1, 2, 50))
    elif kind == 3:
        made[start:stop] = source.choice(JUNK)
    elif kind == 4:
        other = source.choice(corpus)
        cut = source.randrange(len(other) + 1)
        made[start:stop] = other[cut : cut + source.choice((1, 8, 100))]
    else:
        del made[start:]


def twisted(value: Any, source: random.Random) -> Any:
    """Return a copy of a JSON value with one change somewhere in it."""
    made = copy.deepcopy(value)
    places = list(_places(made))
    container, key = source.choice(places)
    kind = source.randrange(5)
    if kind == 0 or isinstance(container, list):
        container[key] = copy.deepcopy(source.choice(VALUES))
    elif kind == 1:
        del container[key]
    elif kind == 2:
        container[key + "x"] = container.pop(key)
    elif kind == 3:
        container["more"] = copy.deepcopy(source.choice(VALUES))
    else:
        other, name = source.choice(places)
        container[key] = copy.deepcopy(other[name])
    return made


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
