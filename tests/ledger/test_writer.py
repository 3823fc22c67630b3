"""The pieces of the writer that have no other test: time, batches, the last look at a row."""

import re
from datetime import UTC, datetime

import pytest
from forge import OWNER, Forge, digest_of, pae, unframe

from ledger.batch import Draft, Place, build_batch
from ledger.entry import MAX_RUN, Event, parse_entry
from ledger.errors import BrokenLinkError, MisuseError, OversizeError
from ledger.replay import check_untouched
from ledger.writer import draft, now


def test_now_is_in_the_one_form_of_section_2() -> None:
    for _ in range(50):
        text = now()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
        made = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - made).total_seconds()) < 2


def drafts(*types: str) -> list[Draft]:
    return [Draft(name, "run/1", b'{"n":%d}' % number, None) for number, name in enumerate(types)]


def build(made: list[Draft]) -> list[tuple[int, bytes, bytes, bytes | None]]:
    place = Place("ab" * 32, 7, "cd" * 32)
    ids = [f"id-{number}" for number in range(len(made))]
    rows = build_batch(place, made, ids=ids, time=now(), key=OWNER.key)
    return [(row.seq, row.raw, row.digest, row.signature) for row in rows]


def test_a_batch_is_numbered_linked_and_signed_once() -> None:
    prev = "cd" * 32
    for seq, raw, digest, sig in build(drafts("x.a", "x.b", "x.c")):
        entry = parse_entry(raw, sig)
        assert (entry.seq, entry.prev, entry.ledger) == (seq, prev, "ab" * 32)
        assert digest == digest_of(raw)
        assert entry.signed == (sig is not None) == (seq == 9)
        prev = digest.hex()
    assert sig is not None
    OWNER.private.public_key().verify(sig, pae(raw))


def test_key_events_in_a_batch_are_signed_themselves() -> None:
    signed = [sig is not None for *_, sig in build(drafts("x.a", "key.revoked", "x.b", "x.c"))]
    assert signed == [False, True, False, True]


def test_a_type_that_only_resembles_a_key_event_is_no_key_event() -> None:
    signed = [sig is not None for *_, sig in build(drafts("keys.a", "x.key", "x.c"))]
    assert signed == [False, False, True]


def test_a_run_is_cut_at_its_greatest_length() -> None:
    rows = build(drafts(*["x.a"] * (MAX_RUN + 1)))
    assert [seq - 7 for seq, _, _, sig in rows if sig] == [MAX_RUN - 1, MAX_RUN]


def test_an_event_s_own_id_goes_before_a_default_one() -> None:
    made = [Draft("x.a", "", b"{}", "mine"), Draft("x.a", "", b"{}", None)]
    assert [parse_entry(raw, None).id for _, raw, *_ in build(made)] == ["mine", "id-1"]


def test_a_draft_is_encoded_and_checked() -> None:
    assert draft(Event("x.a", "s", {"b": 1}, "i")) == Draft("x.a", "s", b'{"b":1}', "i")
    for wrong in (
        Event("gate.checked", "", {}),
        Event("ledger.created", "", {}),
        Event("x.a", "", b"{}"),
    ):
        with pytest.raises(MisuseError):
            draft(wrong)


@pytest.mark.parametrize("size", [64_000, 64_500, 65_000, 65_535, 70_000])
def test_a_draft_that_passes_fits_wherever_it_goes(size: int) -> None:
    """What is accepted from a recorder's caller cannot be refused later for its length."""
    try:
        made = draft(Event("x.a", "é" * 256, {"a": "x" * size}, "i" * 128))
    except OversizeError:
        assert size > 64_000
    else:
        place = Place("ab" * 32, 2**53 - 2, "cd" * 32)
        [row] = build_batch(place, [made], ids=["x"], time=now(), key=OWNER.key)
        assert len(row.raw) <= 65_535


def test_the_last_row_must_be_there_and_the_same() -> None:
    forge = Forge()
    row = unframe(forge.genesis()[:-1])
    check_untouched(row, row, seq=0)
    raw, digest, sig = row
    assert sig is not None
    changed = sig[:-1] + bytes([sig[-1] ^ 1])
    for found in (
        None,
        (raw, digest, None),
        (raw, digest, changed),
        (raw, bytes(32), sig),
        (raw + b" ", digest, sig),
    ):
        with pytest.raises(BrokenLinkError):
            check_untouched(row, found, seq=0)
