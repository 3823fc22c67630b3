"""JSON as section 2 narrows it: read strictly, written so that it can be read strictly."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError, MisuseError
from ledger.strictjson import encode, number, parse

LARGEST = 2**53 - 1


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":1}',
        '{"b":{"a":1,"a":2}}',
        '{"b":[{"a":1,"a":2}]}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":1e400}',
        '{"a":-1e400}',
        '{"a":1.7976931348623159e308}',
        '{"a":-0}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":.5}',
        '{"a":1.}',
        '{"a":0x1}',
        '{"a":1_0}',
        '{"a":٣}',
        f'{{"a":{LARGEST + 1}}}',
        f'{{"a":-{LARGEST + 1}}}',
        '{"a":' + "1" * 5000 + "}",
        '{"a":"\\u0000"}',
        '{"a\\u0000":1}',
        '{"a":"\0"}',
        '{"a":"\\ud800"}',
        '{"a":"\\udc00"}',
        '{"a":"\\udc00\\ud800"}',
        '{"\\ud800":1}',
        '{"a":["\\ud800"]}',
        '{"a":"\n"}',
        '{"a":"\x1f"}',
        '{"a":"\\x41"}',
        '{"a":"\\"}',
        "{'a':1}",
        '{"a":1,}',
        '{"a":[1,]}',
        '{"a":true,"b":tru}',
        '{"a" :1}',
        '{"a": 1}',
        '{"a":1} ',
        ' {"a":1}',
        '{"a":1}\n',
        '{"a":[1,\t2]}',
        '{"a":1}{"b":2}',
        '{"a":/**/1}',
        "[]",
        "1",
        "null",
        '""',
        "",
        "{",
        '{"a',
        '{"a":"',
        "\ufeff{}",
        '{"a":1\u00a0}',
        '{"a":1\u2028}',
    ],
)
def test_what_section_2_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse(text.encode())


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xe2\x82"}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(raw)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a":1e-400}', {"a": 0.0}),
        ('{"a":-0.0}', {"a": 0.0}),
        ('{"a":0}', {"a": 0}),
        (f'{{"a":{LARGEST}}}', {"a": LARGEST}),
        (f'{{"a":-{LARGEST}}}', {"a": -LARGEST}),
        ('{"a":1.7976931348623157e308}', {"a": 1.7976931348623157e308}),
        ('{"a":12345678901234567890.0}', {"a": 12345678901234567890.0}),
        ('{"a":1E+2}', {"a": 100.0}),
        ('{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a":"\\" \\\\ \\/ \\b\\f\\n\\r\\t"}', {"a": '" \\ / \b\f\n\r\t'}),
        ('{"a":"\x7f\u2028 {[ "}', {"a": "\x7f\u2028 {[ "}),
        ('{"":1}', {"": 1}),
        ('{"a":[true,false,null]}', {"a": [True, False, None]}),
        ('{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
    ],
)
def test_what_section_2_allows_is_read(text: str, value: dict[str, Any]) -> None:
    assert parse(text.encode()) == value


def test_nesting_is_allowed_to_depth_64_and_no_further() -> None:
    assert parse(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}")
    with pytest.raises(MalformedError, match="nested"):
        parse(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}")
    with pytest.raises(MalformedError):
        parse(b'{"a":' + b"[" * 100_000)
    with pytest.raises(MalformedError):
        parse(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize(
    "hostile",
    [
        b'{"a":"' + b'\\"' * 32_000 + b"}",
        b'{"a":' + b'"' * 65_000 + b"}",
        b'{"a":"' + b"\\" * 65_001 + b'"}',
        b'{"a":' + b"9" * 65_000 + b"}",
        b'{"a":1e' + b"9" * 65_000 + b"}",
        b'{"a":' + b"[]," * 20_000 + b"}",
        b'{"a":"' + b"\\u0041" * 10_000 + b"}",
    ],
)
def test_no_text_of_an_entry_s_size_takes_long(hostile: bytes) -> None:
    """A pattern that backtracks takes ten seconds for the first of these."""
    begun = time.process_time()
    with pytest.raises(MalformedError):
        parse(hostile)
    assert time.process_time() - begun < 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text('ab"\\é\n', max_size=3), JSON, max_size=4))
def test_what_is_encoded_is_read_back_the_same(data: dict[str, Any]) -> None:
    raw = encode(data)
    assert parse(raw) == data == json.loads(raw)
    assert encode(parse(raw)) == raw


@given(st.dictionaries(st.text("ab", max_size=3), JSON, max_size=3))
def test_the_strict_reader_agrees_with_the_standard_one_on_what_it_takes(
    data: dict[str, Any],
) -> None:
    for ascii_only in (True, False):
        text = json.dumps(data, ensure_ascii=ascii_only, separators=(",", ":"))
        try:
            value = parse(text.encode())
        except MalformedError:
            assert "\\u0000" in text or "-0" in text
        else:
            assert value == data


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        LARGEST + 1,
        -LARGEST - 1,
        10**5000,
        "\0",
        "a\ud800",
        b"bytes",
        {1, 2},
        object(),
        Name("str"),
        1 + 2j,
        {1: 2},
        {None: 1},
        {"a\0": 1},
        {"\ud800": 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_refused_and_not_turned_into_something_else(
    value: object,
) -> None:
    for data in ({"a": value}, {"a": [value]}, {"a": {"b": (value,)}}):
        with pytest.raises(MisuseError):
            encode(data)


@pytest.mark.parametrize("data", [[], None, "x", b"{}", 1, [("a", 1)]])
def test_a_payload_is_an_object(data: object) -> None:
    with pytest.raises(MisuseError, match="object"):
        encode(data)  # type: ignore[arg-type]


def test_a_payload_too_deep_for_an_entry_is_refused_before_it_is_written() -> None:
    def nested(levels: int) -> dict[str, Any]:
        data: Any = 1
        for _ in range(levels):
            data = {"a": data}
        return dict(data)

    assert encode(nested(63))
    for data in (nested(64), {"a": [[nested(62)]]}):
        with pytest.raises(MisuseError, match="deep"):
            encode(data)


def test_a_payload_that_holds_itself_is_refused() -> None:
    data: dict[str, Any] = {}
    data["a"] = data
    with pytest.raises(MisuseError):
        encode(data)


def test_a_tuple_is_written_as_an_array() -> None:
    assert encode({"a": (1, 2)}) == b'{"a":[1,2]}'


@pytest.mark.parametrize(
    ("value", "name"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (1.5, 1.5), (3, 3)],
)
def test_a_number_that_json_lacks_is_named(value: float, name: object) -> None:
    assert number(value) == name
