import dataclasses
import json
from typing import Any

import histories
import payloads
import pytest
import story
from hypothesis import given, settings
from hypothesis import strategies as st

import projections
from ledger.errors import MalformedError, MisuseError
from projections import (
    PROJECTIONS,
    AnyProjection,
    Snapshot,
    dump_snapshot,
    load_snapshot,
    project,
    render,
    replay,
)
from projections.results import Results
from projections.summary import Summary

EVERY = pytest.mark.parametrize("name", sorted(PROJECTIONS))
ENTRIES = story.fail_then_pass().entries


@EVERY
@settings(max_examples=40, deadline=None)
@given(entries=histories.stories(), data=st.data())
def test_going_on_from_a_snapshot_is_a_rebuild_from_nothing(
    name: str, entries: list[story.Entry], data: st.DataObject
) -> None:
    projection = PROJECTIONS[name]()
    cut = data.draw(st.integers(0, len(entries)))
    begin = data.draw(st.integers(0, cut))
    half = load_snapshot(dump_snapshot(replay(projection, entries, at=cut)))
    continued = replay(projection, entries[begin:], snapshot=half)
    rebuilt = replay(PROJECTIONS[name](), entries)
    assert continued == rebuilt
    assert dump_snapshot(continued) == dump_snapshot(rebuilt)
    assert render(projection, continued) == project([PROJECTIONS[name]()], entries)
    assert replay(projection, entries, at=cut) == half  # going on left the snapshot as it was


@EVERY
@settings(max_examples=30, deadline=None)
@given(entries=histories.stories())
def test_a_snapshot_reads_back_as_what_it_was(name: str, entries: list[story.Entry]) -> None:
    snapshot = replay(PROJECTIONS[name](), entries)
    again = load_snapshot(dump_snapshot(snapshot))
    assert again == snapshot
    assert dump_snapshot(again) == dump_snapshot(snapshot)
    assert json.loads(dump_snapshot(snapshot))["size"] == len(entries)


@EVERY
@settings(max_examples=25, deadline=None)
@given(entries=histories.stories())
def test_rendering_changes_nothing_and_never_fails(name: str, entries: list[story.Entry]) -> None:
    snapshot = replay(PROJECTIONS[name](), entries)
    before = dump_snapshot(snapshot)
    projection = PROJECTIONS[name]()
    state = projection.initial()
    for entry in entries:
        state = projection.apply(state, entry)
    assert projection.render(state) == projection.render(state) == render(projection, snapshot)
    assert dump_snapshot(snapshot) == before


@EVERY
def test_an_append_copies_nothing_that_was_there(name: str) -> None:
    """Amortised constant time: the containers of the state are the same objects after a step."""
    projection = PROJECTIONS[name]()
    state = projection.initial()
    for entry in ENTRIES[:20]:
        state = projection.apply(state, entry)
    before = _containers(state)
    after = _containers(projection.apply(state, ENTRIES[20]))
    assert before
    assert before <= after


def _containers(value: Any) -> set[int]:
    found: set[int] = set()
    members = list(value.values()) if isinstance(value, dict) else []
    if hasattr(value, "__struct_fields__"):
        members = [getattr(value, field) for field in value.__struct_fields__]
    if isinstance(value, dict | list):
        found.add(id(value))
    for member in members:
        found |= _containers(member)
    return found


@EVERY
def test_states_are_not_shared_between_two_folds(name: str) -> None:
    projection = PROJECTIONS[name]()
    empty = replay(projection, [])
    replay(projection, ENTRIES)
    assert replay(projection, []) == empty


@EVERY
def test_types_that_are_unknown_or_free_for_users_change_no_run(name: str) -> None:
    base = story.fail_then_pass()
    more = story.fail_then_pass()
    more.add("x.gate.checked", "run/0197f3c2-demo", payloads.checked(400, "fail"))
    more.add("gate.imagined", "run/0197f3c2-demo", payloads.checked(400, "fail"))
    plain, other = (project([PROJECTIONS[name]()], entries.entries) for entries in (base, more))
    if name in {"report", "timeline"}:
        assert plain.keys() == other.keys()
        assert plain != other  # they show the head, or every entry
    else:
        assert plain == other
    assert b"do not fit" not in project([PROJECTIONS["report"]()], more.entries)["report.md"]


def test_an_unknown_type_alone_makes_no_run() -> None:
    made = story.Story()
    made.add("gate.imagined", "run/ghost", payloads.checked(10, "pass"))
    assert project([Results()], made.entries) == {}


def test_the_files_of_the_first_entries_can_be_asked_for() -> None:
    whole = [*ENTRIES]
    cut = 12
    assert project([Summary()], whole, at=cut) == project([Summary()], whole[:cut])
    assert replay(Summary(), iter(whole), at=cut).head == whole[cut - 1].hash
    assert replay(Summary(), whole, at=0).head is None


def test_a_stream_is_read_no_further_than_asked() -> None:
    stream = iter(ENTRIES)
    replay(Summary(), stream, at=5)
    assert next(stream).seq == 5


@pytest.mark.parametrize(("seqs", "place"), [([1, 2], 0), ([0, 2], 1), ([0, 0], 1), ([0, 1, 0], 2)])
def test_entries_out_of_order_are_refused(seqs: list[int], place: int) -> None:
    with pytest.raises(MalformedError) as caught:
        replay(Summary(), [ENTRIES[seq] for seq in seqs])
    assert caught.value.seq == place


def test_a_gap_after_a_snapshot_is_refused() -> None:
    half = replay(Summary(), ENTRIES, at=4)
    with pytest.raises(MalformedError, match="entry 4: found entry 5"):
        replay(Summary(), ENTRIES[5:], snapshot=half)


def test_a_ledger_shorter_than_asked_for_is_refused() -> None:
    with pytest.raises(MisuseError, match="has 3 entries, not 4"):
        replay(Summary(), ENTRIES[:3], at=4)
    with pytest.raises(MisuseError, match="has 0 entries, not 1"):
        project([], [], at=1)


def test_a_snapshot_beyond_the_place_asked_for_is_refused() -> None:
    with pytest.raises(MisuseError, match="more than the first 3"):
        replay(Summary(), ENTRIES, snapshot=replay(Summary(), ENTRIES, at=4), at=3)


def test_a_snapshot_of_another_ledger_is_refused() -> None:
    other = story.several_runs("a").entries
    with pytest.raises(MisuseError, match="of another ledger: its entry 3"):
        replay(Summary(), ENTRIES[3:], snapshot=replay(Summary(), other, at=4))


def test_a_snapshot_of_another_projection_or_version_is_refused() -> None:
    snapshot = replay(Summary(), ENTRIES)

    class Newer(Summary):
        version = 99

    others: list[AnyProjection] = [Results(), Newer()]
    for projection in others:
        with pytest.raises(MisuseError, match="summary version 2, not of"):
            replay(projection, ENTRIES, snapshot=snapshot)


def test_two_projections_of_one_file_are_refused() -> None:
    with pytest.raises(MisuseError, match=r"results\.json is made by more than one"):
        project([Results(), Results()], ENTRIES)


GOOD = dump_snapshot(replay(Summary(), ENTRIES))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\n",
        b" " + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b'"version":2', b'"version":2,"version":2'),
        GOOD.replace(b'"version":2', b'"version":2.0'),
        GOOD.replace(b'"version":2', b'"version":2,"extra":2'),
        GOOD.replace(b'"projection"', b'"pro\\u006aection"'),
        GOOD.replace(b"snapshot/v1", b"snapshot/v2"),
        GOOD.replace(b'"size":31', b'"size":-31'),
        GOOD.replace(b'"size":31', b'"size":0'),
        GOOD.replace(ENTRIES[-1].hash.encode(), b"0" * 63),
        GOOD.replace(ENTRIES[-1].hash.encode(), b"A" * 64),
        GOOD.replace(b'"' + ENTRIES[-1].hash.encode() + b'"', b"null"),
        b"[" * 100_000,
        b'{"schema":"\xff"}',
    ],
)
def test_what_is_not_exactly_a_snapshot_is_refused(raw: bytes) -> None:
    assert raw != GOOD
    with pytest.raises(MalformedError):
        load_snapshot(raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"failed":2', b'"failed":2,"failed":0'),
        (b'"failed":2', b'"failed": 2'),
        (b'"failed":2', b'"failed":"2"'),
        (b'"failed":2', b'"missed":2'),
        (b'"failed":2', b'"failed":2,"more":1'),
    ],
)
def test_a_state_that_we_would_not_write_is_refused(old: bytes, new: bytes) -> None:
    assert old in GOOD
    with pytest.raises(MalformedError, match="not a state of summary"):
        render(Summary(), load_snapshot(GOOD.replace(old, new)))


def test_a_snapshot_is_a_value() -> None:
    one, other = replay(Summary(), ENTRIES), replay(Summary(), ENTRIES)
    assert (one, hash(one)) == (other, hash(other))
    assert one != replay(Summary(), ENTRIES, at=9)
    assert one != "snapshot"
    with pytest.raises(AttributeError):
        one.size = 3  # type: ignore[misc]
    assert isinstance(one, Snapshot)


def test_an_entry_of_the_ledger_is_one_that_a_projection_can_read() -> None:
    """The structure is all that counts: what ``Ledger.entries`` yields folds like our own."""
    from ledger.entry import build_entry, parse_entry

    folded = []
    for entry in ENTRIES:
        raw = build_entry(
            ledger=None if entry.seq == 0 else ENTRIES[0].hash,
            seq=entry.seq,
            prev=None if entry.seq == 0 else ENTRIES[entry.seq - 1].hash,
            event_id=entry.id,
            time=entry.time,
            key=entry.key,
            signed=True,
            event_type=entry.type,
            subject=entry.subject,
            data=json.dumps(entry.data, separators=(",", ":")).encode(),
        )
        folded.append(parse_entry(raw, b"\1" * 64))
    assert project([Results()], folded) == project([Results()], ENTRIES)


def test_the_public_names_are_these() -> None:
    assert projections.__all__ == [
        "CAPSULE_FILES",
        "PROJECTIONS",
        "AnyProjection",
        "EntryLike",
        "GovernanceStream",
        "Projection",
        "Snapshot",
        "capsule_projections",
        "dump_snapshot",
        "load_snapshot",
        "make",
        "project",
        "render",
        "replay",
        "run_directory",
        "write_database",
    ]
    assert all(hasattr(projections, name) for name in projections.__all__)
    assert {name: factory().name for name, factory in PROJECTIONS.items()} == {
        name: name for name in PROJECTIONS
    }
    assert dataclasses.is_dataclass(story.Entry)
