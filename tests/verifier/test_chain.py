"""The chain, signatures and batches: sections 3 and 4 of the page."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verifier.builder import (
    OTHER,
    OWNER,
    Builder,
    codes,
    read,
)
from tests.verifier.cases import Cases, Expected, findings_of

CASES = Cases()
case = CASES.add


@case(("entry.hash", 2))
def only_h_is_wrong(b: Builder) -> None:
    b.add()
    b.add(digest="f" * 64)
    b.add()


@case(("chain.seq", 1), ("chain.seq", 9))
def seq_jumps_and_comes_back(b: Builder) -> None:
    b.add(seq=8)
    b.add(seq=2)
    b.add(seq=3)


@case(("chain.seq", 2), ("chain.prev", 1), ("id.duplicate", 1), ("chain.seq", 2))
def entry_doubled(b: Builder) -> None:
    b.add()
    b.lines.append(b.lines[-1])


@case(("chain.ledger", 1))
def spliced_from_another_ledger(b: Builder) -> None:
    b.add(ledger="a" * 64)


@case(("id.duplicate", 1), ("id.duplicate", 3))
def id_used_three_times(b: Builder) -> None:
    b.add(id="id-00000")
    b.add()
    b.add(id="id-00000", time="2026-01-01T00:00:09.000000Z")


@case(("id.duplicate", 2), ("sig.invalid", 1))
def id_of_an_entry_with_a_bad_signature_counts(b: Builder) -> None:
    b.add(id="same", sig=b"\x02" * 64)
    b.add(id="same")


@case(("entry.json", 1))
def id_of_an_unreadable_entry_does_not_count(b: Builder) -> None:
    b.add(id="same", data="\ud800")
    b.add(id="same")


@case(("sig.presence", 1), ("batch.torn", 1))
def stripped_signature_at_the_end(b: Builder) -> None:
    b.add(strip=True)


@case(("sig.presence", 1))
def stripped_signature_inside(b: Builder) -> None:
    b.add(strip=True)
    b.add()


@case(("sig.presence", 1), ("sig.invalid", 1))
def bad_signature_against_its_word(b: Builder) -> None:
    b.add(signed=False, sig=b"\x03" * 64)


@case(("sig.presence", 1), ("batch.keys", 2))
def a_stripped_signature_makes_a_run_of_two_keys(b: Builder) -> None:
    b.add(strip=True)
    b.add("x.other.done", key=OWNER)


@case(("batch.keys", 4))
def two_keys_before_the_signed_entry(b: Builder) -> None:
    b.add(signed=False)
    b.add("x.other.done", key=OWNER, signed=False)
    b.add(signed=False)
    b.add()


@case(("line.framing", 2), ("batch.keys", 3))
def an_unframed_line_leaves_the_run_open(b: Builder) -> None:
    b.add(signed=False)
    b.garbage()
    b.add("x.other.done", key=OWNER)


@case(("entry.json", 2))
def an_unreadable_entry_takes_no_part_in_a_run(b: Builder) -> None:
    b.add(signed=False)
    b.add("x.other.done", {"a": "\ud800"}, OWNER)
    b.add()


@case(("entry.version", 2), ("batch.torn", 1))
def an_entry_of_another_version_closes_no_run(b: Builder) -> None:
    b.add(signed=False)
    b.add(v=3)


@case(("batch.torn", 2), ("line.framing", 3))
def torn_batch_before_a_torn_line(b: Builder) -> None:
    b.add(signed=False)
    b.add(signed=False)
    b.garbage(b'{"entry":{"v":1,"led')


@case(("key.unknown", 1), ("batch.keys", 2))
def unknown_key_in_a_run(b: Builder) -> None:
    b.add(key=OTHER, signed=False)
    b.add()


@CASES.parametrize
def test_a_ledger_has_exactly_these_findings(
    make: Callable[[Builder], None], expected: Expected, tmp_path: Path
) -> None:
    assert findings_of(make, tmp_path) == expected


@pytest.mark.parametrize(("unsigned", "expected"), [(65_535, []), (65_536, ["batch.long"])])
def test_a_batch_is_at_most_65536_entries(
    unsigned: int, expected: list[str], tmp_path: Path
) -> None:
    builder = Builder()
    for _ in range(unsigned):
        builder.add(signed=False, time="2026-01-01T00:00:00.000000Z")
    builder.add(time="2026-01-01T00:00:00.000000Z")
    _, findings = read(builder.write(tmp_path / "l.jsonl"))
    assert codes(findings) == [(code, unsigned + 1) for code in expected]
