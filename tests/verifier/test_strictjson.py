"""JSON of one meaning: what is read, what is refused, and what a cut may leave."""

import json
import random

import pytest

from verifier.strictjson import NotStrictJson, parse, viable

GOOD = [
    ("{}", {}),
    ("[]", []),
    ('{"a":[1,-2,0.5,1e5,true,false,null,"x",{}]}',
     {"a": [1, -2, 0.5, 1e5, True, False, None, "x", {}]}),
    (r'"\u00e9\n\/\"\\ \ud83d\ude00"', 'é\n/"\\ 😀'),
    ("9007199254740991", 2**53 - 1),
    ("-0.0", -0.0),
    ("1E-400", 0.0),
    ('"\ufffe\x7f"', "\ufffe\x7f"),
]  # fmt: skip
BAD = [
    "", " ", "{} ", " {}", "{ }", "[1,]", "[,1]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', "{1:2}",
    '{"a":1 ,"b":2}', "[1}", '{"a":1]', "]", "}", "[", "{", '"', '"a', r'"\x"', r'"\u12"', '"\n"',
    '"\x00"', r'"\u0000"', r'"\ud800"', r'"\udc00\ud800"', "01", "1.", ".5", "-", "+1", "1e", "0x1",
    "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "-0", "9007199254740992",
    "-9007199254740992", "9" * 5000, "tru", "nulll", "truefalse", "1 2", "{}{}", '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}', '[{"":1,"":2}]', "/**/1", "'a'", "\ufeff{}", "1\u00a0", "\u0661", ":",
    ",", '{"a"::1}', '[1"a"]', '["a"1]',
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), GOOD)
def test_strict_json_is_parsed(text: str, value: object) -> None:
    assert parse(text.encode()) == value
    assert json.dumps(parse(text.encode())) == json.dumps(value)


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotStrictJson):
        parse(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "raw", [b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf5\x80\x80\x80"', b'"\xc3']
)
def test_what_is_not_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(NotStrictJson):
        parse(raw)


def test_depth_costs_no_recursion() -> None:
    assert parse(b"[" * 64 + b"]" * 64)
    for deep in (b"[" * 65 + b"]" * 65, b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(NotStrictJson):
            parse(deep)


def test_agrees_with_the_standard_parser_wherever_that_one_is_strict_enough() -> None:
    rng = random.Random(1)  # noqa: S311 - repeatable on purpose
    pieces = [
        '"a"',
        "1",
        "-2.5",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "true",
        "null",
        '"b":',
        "[1,2]",
        '"c":{}',
    ]
    agreed = 0
    for _ in range(20_000):
        text = "".join(rng.choices(pieces, k=rng.randrange(1, 7)))
        try:
            expected = json.loads(text, object_pairs_hook=_no_doubles)
        except (json.JSONDecodeError, KeyError):
            with pytest.raises(NotStrictJson):
                parse(text.encode())
        else:
            assert parse(text.encode()) == expected
            agreed += 1
    assert agreed > 200


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise KeyError
    return dict(pairs)


@pytest.mark.parametrize(("text", "_value"), GOOD)
def test_every_beginning_of_json_is_viable(text: str, _value: object) -> None:
    raw = text.encode()
    assert all(viable(raw[:cut]) for cut in range(len(raw) + 1))


@pytest.mark.parametrize(
    "text", ["x", "[x", '{"a":01', "[1,,", "-x", "tx", '"\\x', '{"a":1,"a"', "[1e4x"]
)
def test_what_no_json_begins_with_is_not_viable(text: str) -> None:
    assert not viable(text.encode())
