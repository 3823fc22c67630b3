"""Checkpoint bodies: one way to write each, and no other is read."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    origin,
    parse_checkpoint,
    parse_ledger_checkpoint,
)
from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.merkle import EMPTY_ROOT, root_of
from ledger.note import MAX_NOTE_BYTES, UntrustedNoteError, Verifier, parse_vkey
from ledger.wire import MAX_DECIMAL, decode_base64, parse_decimal

VECTORS = Path(__file__).parents[1] / "vectors"
REJECT = json.loads((VECTORS / "c2sp" / "checkpoint_body_must_reject.json").read_text())["cases"]
NOTES = json.loads((VECTORS / "c2sp" / "notes.json").read_text())
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
ROOT = bytes(range(32))


@pytest.mark.parametrize("case", REJECT, ids=lambda case: case["why"])
def test_a_bad_body_of_the_vectors_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(case["body"])
    with pytest.raises(MalformedError):
        parse_checkpoint(case["body"].encode())


@pytest.mark.parametrize("case", NOTES["checkpoints"], ids=lambda case: f"size-{case['size']}")
def test_bodies_of_the_vectors_survive_a_round_trip(case: dict[str, Any]) -> None:
    checkpoint = parse_checkpoint(bytes.fromhex(case["body_hex"]))
    assert (checkpoint.origin, checkpoint.size) == ("ledger.example/demo", case["size"])
    assert format_checkpoint(checkpoint) == case["body"]


def test_a_signed_checkpoint_of_the_vectors_opens() -> None:
    log = parse_vkey(NOTES["keys"]["log"]["vkey"])
    for case in NOTES["checkpoints"]:
        checkpoint, note = open_checkpoint(case["signed_checkpoint"], [log])
        assert checkpoint == parse_checkpoint(case["body"])
        assert note.verified[0].verifier == log


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint_at_5"])
def test_the_golden_checkpoints_are_of_the_golden_ledger(name: str) -> None:
    hashes = [bytes.fromhex(value) for value in GOLDEN["hashes"]]
    owner = decode_base64(GOLDEN["keys"]["owner"]["public"].encode())
    log = Verifier(origin(GOLDEN["ledger"]), owner)
    checkpoint, note = open_checkpoint(GOLDEN[name], [log])
    assert checkpoint.root == root_of(hashes[: checkpoint.size])
    assert parse_ledger_checkpoint(note.text, GOLDEN["ledger"]) == checkpoint
    with pytest.raises(MalformedError, match="is of"):
        parse_ledger_checkpoint(note.text, "0" * 64)
    runner = decode_base64(GOLDEN["keys"]["runner"]["public"].encode())
    with pytest.raises(UntrustedNoteError):
        open_checkpoint(GOLDEN[name], [Verifier(origin(GOLDEN["ledger"]), runner)])


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1),
    st.integers(1, MAX_DECIMAL),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1), max_size=3),
)
def test_checkpoints_survive_a_round_trip(
    name: str, size: int, root: bytes, extensions: list[str]
) -> None:
    checkpoint = Checkpoint(name, size, root, tuple(extensions))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


def test_extension_lines_are_returned_for_others_and_refused_for_our_ledgers() -> None:
    ledger = "ab" * 32
    checkpoint = Checkpoint(origin(ledger), 3, ROOT, ("extension",))
    body = format_checkpoint(checkpoint)
    assert parse_checkpoint(body).extensions == ("extension",)
    with pytest.raises(MalformedError, match="three lines"):
        parse_ledger_checkpoint(body, ledger)


def test_a_ledger_has_no_checkpoint_of_size_0() -> None:
    ledger = "ab" * 32
    body = format_checkpoint(Checkpoint(origin(ledger), 0, EMPTY_ROOT))
    with pytest.raises(MalformedError, match="at least 1"):
        parse_ledger_checkpoint(body, ledger)


@pytest.mark.parametrize("ledger", ["", "ab", "AB" * 32, "ab" * 32 + "\n", "g" * 64])
def test_an_origin_needs_a_ledger_id(ledger: str) -> None:
    with pytest.raises(MisuseError):
        origin(ledger)


@pytest.mark.parametrize(
    ("name", "size", "root", "extensions"),
    [
        ("", 1, ROOT, ()),
        ("a\nb", 1, ROOT, ()),
        ("a\ud800", 1, ROOT, ()),
        ("a", -1, ROOT, ()),
        ("a", MAX_DECIMAL + 1, ROOT, ()),
        ("a", 1, ROOT[1:], ()),
        ("a", 0, ROOT, ()),
        ("a", 1, ROOT, ("",)),
        ("a", 1, ROOT, ("x\ny",)),
    ],
)
def test_a_checkpoint_that_cannot_be_written_cannot_be_made(
    name: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(MisuseError):
        Checkpoint(name, size, root, extensions)


def test_a_body_has_newlines_at_its_ends_and_a_limit() -> None:
    body = format_checkpoint(Checkpoint("a", 1, ROOT))
    for bad in (body[:-1], body + "\n", "\n" + body, body.replace("\n", "\r\n"), ""):
        with pytest.raises(MalformedError):
            parse_checkpoint(bad)
    with pytest.raises(MalformedError, match="longer"):
        parse_checkpoint(b"a" * (MAX_NOTE_BYTES + 1))


@pytest.mark.parametrize("text", [b"00", b"1\n", b"\xd9\xa7", b"-0", b"1_0", b"", b"9" * 19])
def test_a_decimal_has_one_form(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_decimal(text)
    assert parse_decimal(b"0") == 0
    assert parse_decimal(str(MAX_DECIMAL).encode()) == MAX_DECIMAL


def test_whatever_is_read_is_written_the_same() -> None:
    """So two texts never mean one checkpoint, and only ledger errors leave the parser."""
    source = random.Random(7)  # noqa: S311 - reproducible, not secret
    body = NOTES["checkpoints"][4]["body"].encode() + b"extension\n"
    accepted = 0
    for _ in range(3000):
        mutant = bytearray(body)
        for _ in range(source.randint(1, 3)):
            place = source.randrange(len(mutant))
            if source.random() < 0.5:
                mutant[place] = source.choice(b"\x00\n\r 07+/=A\xff")
            else:
                del mutant[place : place + source.randint(1, 3)]
        try:
            checkpoint = parse_checkpoint(bytes(mutant))
        except LedgerError:
            continue
        accepted += 1
        assert format_checkpoint(checkpoint).encode() == mutant
    assert accepted > 0
