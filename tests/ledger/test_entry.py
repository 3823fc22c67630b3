"""The bytes of an entry: what is taken, what is refused, and that nothing else is either."""

import base64
import json
from dataclasses import FrozenInstanceError

import pytest
from forge import OWNER, VECTORS, digest_of, entry_bytes, frame, pae
from hypothesis import given
from hypothesis import strategies as st

from ledger import entry as module
from ledger.entry import (
    MAX_ENTRY_BYTES,
    Event,
    build_entry,
    entry_hash,
    frame_line,
    parse_entry,
    parse_line,
)
from ledger.errors import MalformedError, MisuseError, OversizeError

GOLDEN = json.loads((VECTORS / "golden.json").read_text())
LINES = (VECTORS / "golden.jsonl").read_bytes().splitlines()
GOOD = {
    "v": 1,
    "ledger": "ab" * 32,
    "seq": 7,
    "prev": "cd" * 32,
    "id": "an-id",
    "time": "2026-01-15T10:00:00.000001Z",
    "key": "ef" * 32,
    "signed": True,
    "type": "x.event",
    "subject": "run/é",
    "data": {"a": [1, "b"]},
}


@pytest.mark.parametrize("seq", range(len(LINES)))
def test_the_golden_lines_are_read_with_their_hashes(seq: int) -> None:
    raw, digest, sig = parse_line(LINES[seq])
    entry = parse_entry(raw, sig)
    assert (entry.seq, entry.hash) == (seq, GOLDEN["hashes"][seq]) == (seq, digest.hex())
    assert entry.data == json.loads(raw)["data"]
    assert frame_line(raw, digest, sig) == LINES[seq] + b"\n"


def test_the_golden_pre_authentication_encoding_is_made() -> None:
    raw, _, _ = parse_line(LINES[1])
    assert module.pae(raw).decode() == GOLDEN["pae_of_entry_1"]


def test_the_members_come_back_as_they_were_written() -> None:
    entry = parse_entry(entry_bytes(**GOOD), bytes(64))
    for name, value in GOOD.items():
        if name != "v":
            assert getattr(entry, name) == value
    assert entry.signature == bytes(64)
    assert entry.payload == b'{"a":[1,"b"]}'


def test_what_an_entry_says_of_its_signature_is_not_what_it_has() -> None:
    assert parse_entry(entry_bytes(**GOOD), None).signed is True
    assert parse_entry(entry_bytes(**{**GOOD, "signed": False}), bytes(64)).signed is False


def test_a_built_entry_is_the_page_s() -> None:
    made = {**GOOD, "event_id": GOOD["id"], "event_type": GOOD["type"], "data": b'{"a":[1,"b"]}'}
    for name in ("v", "id", "type"):
        del made[name]
    assert build_entry(**made) == entry_bytes(**GOOD)
    first = {**made, "ledger": None, "prev": None, "signed": False}
    assert build_entry(**first) == entry_bytes(
        **{**GOOD, "ledger": None, "prev": None, "signed": False}
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": "1"},
        {"v": True},
        {"ledger": "AB" * 32},
        {"ledger": "ab" * 31},
        {"ledger": 7},
        {"seq": -1},
        {"seq": 7.0},
        {"seq": "7"},
        {"seq": True},
        {"prev": ""},
        {"id": ""},
        {"id": "x" * 129},
        {"id": "a b"},
        {"id": "é"},
        {"id": "\x7f"},
        {"id": 'a"'},
        {"id": None},
        {"time": "2026-01-15T10:00:00Z"},
        {"time": "2026-02-29T10:00:00.000000Z"},
        {"time": "2026-04-31T10:00:00.000000Z"},
        {"time": "1900-02-29T10:00:00.000000Z"},
        {"time": "2026-13-01T10:00:00.000000Z"},
        {"time": "2026-00-01T10:00:00.000000Z"},
        {"time": "2026-01-00T10:00:00.000000Z"},
        {"time": "2026-01-15T24:00:00.000000Z"},
        {"time": "2026-01-15T10:60:00.000000Z"},
        {"time": "2026-01-15T10:00:60.000000Z"},
        {"time": "0000-01-15T10:00:00.000000Z"},
        {"time": "2026-01-15T10:00:00.000000+00:00"},
        {"time": "2026-01-15 10:00:00.000000Z"},
        {"time": "٢٠٢٦-01-15T10:00:00.000000Z"},
        {"key": None},
        {"key": "EF" * 32},
        {"signed": 1},
        {"signed": None},
        {"type": "x"},
        {"type": "X.event"},
        {"type": "x..y"},
        {"type": "x.1"},
        {"type": "x.event."},
        {"type": "x.ev-ent"},
        {"type": "x." + "a" * 127},
        {"subject": "é" * 257},
        {"subject": "x" * 513},
        {"subject": "a\x7f"},
        {"subject": None},
        {"data": []},
        {"data": None},
        {"data": "{}"},
        {"more": 1},
    ],
    ids=repr,
)
def test_a_header_that_deviates_is_refused(changes: dict[str, object]) -> None:
    members = {**GOOD, **changes}
    if "more" in changes:
        raw = entry_bytes(**GOOD).replace(b',"data"', b',"more":1,"data"')
    else:
        raw = entry_bytes(**members)
    with pytest.raises(MalformedError):
        parse_entry(raw, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger": None, "prev": None},
        {"seq": 0},
        {"seq": 2**53 - 1},
        {"id": "x" * 128},
        {"id": "!#~[]"},
        {"time": "2024-02-29T23:59:59.999999Z"},
        {"time": "2000-02-29T00:00:00.000000Z"},
        {"time": "9999-12-31T00:00:00.000000Z"},
        {"type": "a.b"},
        {"type": "x." + "a" * 126},
        {"type": "a_1.b__2.c"},
        {"subject": ""},
        {"subject": "é" * 256},
        {"subject": "x" * 512},
        {"subject": "\x80\u2028\u202e\U0001f600"},
        {"data": {}},
        {"signed": False},
    ],
    ids=repr,
)
def test_a_header_at_the_edge_of_the_rules_is_taken(changes: dict[str, object]) -> None:
    entry = parse_entry(entry_bytes(**{**GOOD, **changes}), None)
    for name, value in changes.items():
        assert getattr(entry, name) == value


@pytest.mark.parametrize("at", [0, 1, 5, 20, 100, 200, -1])
@pytest.mark.parametrize("junk", [b" ", b"\n", b"\xff", b"\xef\xbb\xbf", b"\0"])
def test_junk_between_members_is_refused(at: int, junk: bytes) -> None:
    raw = entry_bytes(**GOOD)
    at = at % (len(raw) + 1) if at >= 0 else len(raw)
    with pytest.raises(MalformedError):
        parse_entry(raw[:at] + junk + raw[at:], None)


def test_a_header_that_is_not_utf_8_is_refused() -> None:
    for wrong in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"):
        raw = entry_bytes(**GOOD).replace("é".encode(), wrong)
        with pytest.raises(MalformedError):
            parse_entry(raw, None)


def test_members_in_another_order_or_escaped_are_refused() -> None:
    raw = entry_bytes(**GOOD)
    for twisted in (
        raw.replace(b'"id"', b'"\\u0069d"'),
        raw.replace(b'"x.event"', b'"x.\\u0065vent"'),
        raw.replace(b'"run/', b'"run\\/'),
        raw.replace(b'"signed":true,"type":"x.event"', b'"type":"x.event","signed":true'),
        raw.replace(b'"v":1,', b""),
    ):
        assert twisted != raw
        with pytest.raises(MalformedError):
            parse_entry(twisted, None)


def test_an_entry_of_65_535_bytes_fits_and_one_more_does_not() -> None:
    room = MAX_ENTRY_BYTES - len(entry_bytes(**{**GOOD, "data": {"a": ""}}))
    largest = entry_bytes(**{**GOOD, "data": {"a": "x" * room}})
    assert parse_entry(largest, None).seq == 7
    with pytest.raises(MalformedError):
        parse_entry(entry_bytes(**{**GOOD, "data": {"a": "x" * (room + 1)}}), None)


def test_building_an_entry_that_does_not_fit_says_what_to_do() -> None:
    made = {**GOOD, "event_id": "a", "event_type": "x.a", "data": b"x" * MAX_ENTRY_BYTES}
    for name in ("v", "id", "type"):
        del made[name]
    with pytest.raises(OversizeError, match="blob"):
        build_entry(**made)


def test_a_payload_that_breaks_the_rules_is_refused_when_it_is_looked_at() -> None:
    for payload in (b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a": 1}', b"{" * 70 + b"}" * 70):
        entry = parse_entry(entry_bytes(**{**GOOD, "data": payload}), None)
        with pytest.raises(MalformedError) as caught:
            _ = entry.data
        assert caught.value.seq == 7


def test_data_stands_at_depth_2() -> None:
    deepest = b'{"a":' * 62 + b"{}" + b"}" * 62
    assert parse_entry(entry_bytes(**{**GOOD, "data": deepest}), None).data
    deeper = b'{"a":' * 63 + b"{}" + b"}" * 63
    with pytest.raises(MalformedError):
        _ = parse_entry(entry_bytes(**{**GOOD, "data": deeper}), None).data


@pytest.mark.parametrize(
    ("event_type", "subject", "event_id"),
    [
        ("gate", "", None),
        ("Gate.checked", "", None),
        ("x." + "a" * 127, "", None),
        ("x.a\n", "", None),
        ("x.é", "", None),
        ("x.a", 'say "hi"', None),
        ("x.a", "back\\slash", None),
        ("x.a", "line\nfeed", None),
        ("x.a", "\x7f", None),
        ("x.a", "\ud800", None),
        ("x.a", "é" * 257, None),
        ("x.a", "", ""),
        ("x.a", "", "a b"),
        ("x.a", "", "a\n"),
        ("x.a", "", "é"),
        ("x.a", "", "x" * 129),
    ],
)
def test_an_event_that_no_entry_could_hold_is_refused_at_once(
    event_type: str, subject: str, event_id: str | None
) -> None:
    with pytest.raises(MisuseError):
        Event(event_type, subject, {}, event_id)


def test_an_event_at_the_edge_of_the_rules_is_taken() -> None:
    event = Event("x." + "a" * 126, "é" * 256, {}, "x" * 128)
    with pytest.raises(FrozenInstanceError):
        event.type = "x.b"  # type: ignore[misc]


@given(st.binary(max_size=64), st.booleans())
def test_framing_and_parsing_a_line_are_inverse(inner: bytes, signed: bool) -> None:  # noqa: FBT001 - drawn
    raw = b"{" + inner + b"}"
    sig = bytes(range(64)) if signed else None
    line = frame_line(raw, entry_hash(raw), sig)
    assert line == frame(raw, digest_of(raw), sig)
    assert parse_line(line[:-1]) == (raw, digest_of(raw), sig)


@given(st.binary(max_size=80))
def test_the_encoding_that_is_signed_is_the_page_s(raw: bytes) -> None:
    assert module.pae(raw) == pae(raw)


def _line() -> bytes:
    raw = entry_bytes(**GOOD)
    return frame_line(raw, entry_hash(raw), OWNER.private.sign(pae(raw)))[:-1]


@pytest.mark.parametrize(
    "twist",
    [
        lambda _: b"",
        lambda line: line[:-1],
        lambda line: line + b" ",
        lambda line: b" " + line,
        lambda line: b"\xef\xbb\xbf" + line,
        lambda line: line + b"\r",
        lambda line: line.replace(b'"entry"', b'"Entry"'),
        lambda line: line.replace(b'{"entry":', b'{"entry": '),
        lambda line: line.replace(b',"hash"', b', "hash"'),
        lambda line: line.replace(b'"sig"', b'"sag"'),
        lambda line: line[:-88] + line[-88:].upper(),
        lambda line: line[:-5] + b'B=="}',
        lambda line: line[:-3] + b'A"}',
        lambda line: line[:-50] + b"-" + line[-49:],
        lambda line: line[:-50] + b"\n" + line[-49:],
        lambda line: line[:9] + b"[]" + line[-172:],
        lambda line: b'{"entry":{' + line[-172:],
        lambda line: line[-172:],
        lambda _: b"null}",
        lambda _: b'{"entry":null}',
    ],
)
def test_a_line_in_any_other_form_is_refused(twist) -> None:  # noqa: ANN001 - a lambda
    line = _line()
    twisted = twist(line)
    if twisted == line:
        pytest.skip("this twist changes nothing of this line")
    with pytest.raises(MalformedError):
        parse_line(twisted)


def test_an_uppercase_hash_is_refused() -> None:
    line = _line()
    digest = line[-163:-99]
    with pytest.raises(MalformedError):
        parse_line(line.replace(digest, digest.upper()))


def test_a_signature_in_another_base64_of_the_same_bytes_is_refused() -> None:
    """The last character before ``==`` carries four unused bits."""
    line = _line()
    last = line[-5:-4]
    others = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for other in others:
        twisted = line[:-5] + bytes([other]) + line[-4:]
        if bytes([other]) in (b"A", b"Q", b"g", b"w"):
            assert parse_line(twisted)[2] is not None
        else:
            with pytest.raises(MalformedError):
                parse_line(twisted)
    assert base64.b64encode(parse_line(line)[2] or b"")[-3:-2] == last
