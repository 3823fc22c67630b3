"""Every byte of a ledger, every entry, every tail: changed, and found (issue, *Tamper*).

The flips are judged in process. Here the n-th bytes of all entries are flipped at
once, and the verifier must name each of those entries; ``benchmarks/tamper_battery.py``
flips each byte of the file alone.
"""

from pathlib import Path

import history
import pytest
from forge import OWNER, STORES, codes, columns, lines_of, verdict, walk, write_sqlite
from fuzzing import seeded
from tampering import (
    Bench,
    batched,
    groups,
    judged,
    line_spans,
    masks,
    payload_spans,
    reframe,
    relinked,
    zero_runs,
)

from ledger import Ledger
from ledger.signing import sign_checkpoint

SEED = 20260115


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bench]:
    folder = tmp_path_factory.mktemp("tamper")
    made = {}
    for suffix in STORES:
        honest = history.write(folder / f"honest{suffix}")
        made[suffix] = Bench(honest, folder / f"copy{suffix}")
    return made


@pytest.mark.parametrize("suffix", STORES)
def test_the_ledger_that_is_tampered_with_is_worth_it(
    benches: dict[str, Bench], suffix: str
) -> None:
    entries = walk(benches[suffix].honest)
    types = {entry["type"] for entry in entries}
    assert len(entries) == 50
    assert {"key.rotated", "key.revoked", "gate.checked", "run.closed"} <= types
    assert {entry["signed"] for entry in entries} == {True, False}
    assert benches[suffix].verdict["verdict"] == "VERIFIED"
    assert len(benches[suffix].projections) >= 4


@pytest.mark.parametrize("suffix", STORES)
def test_every_flipped_byte_of_an_entry_is_found_at_that_entry(
    benches: dict[str, Bench], suffix: str
) -> None:
    """E, hash and signature; in a database the index columns too."""
    bench = benches[suffix]
    spans = payload_spans(bench.honest) if suffix == ".sqlite" else line_spans(bench.honest)
    for group in groups(bench.honest):
        for place in range(max(spans[seq][1] for seq in group)):
            seqs = {seq for seq in group if place < spans[seq][1]}
            flips = {seq: bench.flip(spans[seq][0] + place, SEED) for seq in seqs}
            for seq in bench.unnamed(bench.flipped(flips.values()), seqs):
                # A neighbour's flip can hide this one; alone it must be found.
                assert not bench.unnamed(bench.flipped([flips[seq]]), {seq}), (seq, place)


def test_every_changed_line_feed_of_a_jsonl_is_found(benches: dict[str, Bench]) -> None:
    bench = benches[".jsonl"]
    offsets = [offset for offset, byte in enumerate(bench.content) if byte == 0x0A]
    assert len(offsets) == 50
    for offset in offsets:
        for mask in masks(offset, SEED):
            assert bench.complaint(bench.flipped([(offset, mask)])) is None, (offset, mask)


@pytest.mark.parametrize("suffix", STORES)
def test_a_sample_of_single_flips_changes_the_verdict_or_nothing(
    benches: dict[str, Bench], suffix: str
) -> None:
    bench = benches[suffix]
    source = seeded(SEED)
    for _ in range(200):
        offset = source.randrange(len(bench.content))
        flip = (offset, source.randrange(1, 256))
        assert bench.complaint(bench.flipped([flip])) is None, flip


def test_the_rest_of_the_sqlite_file_changes_the_verdict_or_nothing(
    benches: dict[str, Bench],
) -> None:
    """Headers, pointers, the index and the schema, byte by byte; unused space at once."""
    bench = benches[".sqlite"]
    covered = {
        n for start, length in payload_spans(bench.honest) for n in range(start, start + length)
    }
    for start, length in zero_runs(bench.content):
        run = set(range(start, start + length)) - covered
        flips = [bench.flip(n, SEED) for n in run]
        assert bench.complaint(bench.flipped(flips)) is None, (start, length)
        covered |= run
    rest = [n for n in range(len(bench.content)) if n not in covered]
    for chunk in batched(rest, 16):
        flips = [bench.flip(offset, SEED) for offset in chunk]
        if bench.unchanged(bench.flipped(flips)):
            continue  # most of the index: nothing depends on any of them
        for flip in flips:
            assert bench.complaint(bench.flipped([flip])) is None, flip


@pytest.mark.parametrize("suffix", STORES)
def test_each_entry_deleted_is_found(benches: dict[str, Bench], suffix: str) -> None:
    bench = benches[suffix]
    for seq in range(49):
        path = _rearranged(bench, [n for n in range(50) if n != seq])
        assert judged(path)["exit_code"] == 2, seq


@pytest.mark.parametrize("suffix", STORES)
def test_each_entry_swapped_with_its_neighbour_is_found(
    benches: dict[str, Bench], suffix: str
) -> None:
    bench = benches[suffix]
    for seq in range(49):
        order = list(range(50))
        order[seq], order[seq + 1] = order[seq + 1], order[seq]
        assert judged(_rearranged(bench, order))["exit_code"] == 2, seq


@pytest.mark.parametrize("suffix", STORES)
def test_each_entry_duplicated_is_found(benches: dict[str, Bench], suffix: str) -> None:
    bench = benches[suffix]
    for seq in range(50):
        for where in {seq + 1, 50}:
            order = list(range(50))
            order.insert(where, seq)
            assert judged(_rearranged(bench, order))["exit_code"] == 2, (seq, where)


def _rearranged(bench: Bench, order: list[int]) -> Path:
    """Put the entries in another order, with everything else left as it was."""
    lines = lines_of(bench.honest)
    if bench.copy.suffix == ".jsonl":
        return bench.put(b"".join(lines[n] for n in order))
    rows = []
    for seq, n in enumerate(order):
        _, raw, digest, sig, event_id, *index = columns(lines[n])
        again = order.index(n) != seq  # the index column cannot hold an id twice
        rows.append((seq, raw, digest, sig, f"{event_id}-{seq}" if again else event_id, *index))
    bench.put(b"").unlink()
    write_sqlite(bench.copy, rows)
    return bench.copy


@pytest.mark.parametrize("suffix", STORES)
def test_each_tail_cut_is_found_with_a_pinned_checkpoint(
    benches: dict[str, Bench], suffix: str, tmp_path: Path
) -> None:
    """Without one a cut at a signed entry is an honest, shorter ledger: the page says so."""
    bench = benches[suffix]
    with Ledger.open(bench.honest, key=OWNER.key) as book:
        pinned = sign_checkpoint(book, memory=tmp_path).encode()
    assert verdict(bench.honest, checkpoints=[pinned]).outcome == "VERIFIED"
    for size in range(50):
        path = _rearranged(bench, list(range(size)))
        found = verdict(path, checkpoints=[pinned])
        assert found.exit_code == 2, size
        assert "anchor.checkpoint" in {finding.code for finding in found.findings}


def test_each_member_of_each_entry_changed_and_rehashed_is_found(
    benches: dict[str, Bench],
) -> None:
    """Who can write the file can compute hashes: of the changed entry, and of all after it."""
    bench = benches[".jsonl"]
    lines = lines_of(bench.honest)
    for seq in range(50):
        for changes in ({"subject": "run/other"}, {"data": {}}, {"id": "other"}, {"key": OWNER.id}):
            before = [*lines[:seq], reframe(lines[seq], **changes), *lines[seq + 1 :]]
            changed = relinked(before, seq)
            if b"".join(changed) == bench.content:
                continue
            assert judged(bench.put(b"".join(changed)))["exit_code"] == 2, (seq, changes)


def test_an_entry_moved_in_from_a_twin_ledger_is_found(
    benches: dict[str, Bench], tmp_path: Path
) -> None:
    bench = benches[".jsonl"]
    twin = lines_of(history.write(tmp_path / "twin.jsonl"))
    lines = lines_of(bench.honest)
    for seq in range(50):
        path = bench.put(b"".join([*lines[:seq], twin[seq], *lines[seq + 1 :]]))
        assert judged(path)["exit_code"] == 2, seq
        if seq:
            assert ("chain.ledger", seq) in codes(path)
