"""The writer's own reading of a ledger, against the vectors and against forged runs."""

import json

import pytest
from forge import OWNER, RUNNER, VECTORS, Forge, digest_of, unframe

from ledger.convert import export_lines
from ledger.entry import Head
from ledger.errors import BrokenLinkError, LedgerError, MalformedError
from ledger.replay import Replay, Row
from ledger.stores.jsonl import JsonlStore

GOLDEN = json.loads((VECTORS / "golden.json").read_text())
BAD = {case["file"]: case["findings"] for case in json.loads((VECTORS / "bad.json").read_text())}
HARMLESS = {"time.backward"}  # a warning: section 9


def rows_of(forge: Forge) -> list[Row]:
    return [unframe(line[:-1]) for line in forge.lines]


def take_all(forge: Forge, *, thorough: bool = False) -> Replay:
    replay = Replay(thorough=thorough)
    for row in rows_of(forge):
        replay.take(row)
    replay.settle()
    return replay


def begun() -> Forge:
    forge = Forge()
    forge.genesis(OWNER.record(["owner"]), RUNNER.record(["runner"]))
    return forge


def test_the_golden_ledger_is_taken_whole_with_its_id_and_every_root() -> None:
    replay = Replay(thorough=True)
    for size, row in enumerate(JsonlStore(VECTORS / "golden.jsonl").rows(), start=1):
        replay.take(row)
        assert replay.head == Head(size, bytes.fromhex(GOLDEN["hashes"][size - 1]))
        assert replay.frontier.root().hex() == GOLDEN["roots"][str(size)]
    assert replay.ledger == GOLDEN["ledger"]
    assert replay.torn == 0


@pytest.mark.parametrize("file", sorted(BAD))
def test_every_bad_ledger_with_an_error_is_refused_by_an_exporter(file: str) -> None:
    """An exporter refuses a ledger with findings (section 7); a warning alone is none."""
    if {code for code, _ in BAD[file]} - HARMLESS:
        with pytest.raises(LedgerError):
            list(export_lines(VECTORS / file))
    else:
        assert b"".join(export_lines(VECTORS / file)) == (VECTORS / file).read_bytes()


BY_REPLAY = sorted(set(BAD) - {"bad/duplicate_id.jsonl", "bad/compromised_rotated_out.jsonl"})
"""A replay remembers no ids and looks back at no entry: the exporter does both."""


@pytest.mark.parametrize("file", BY_REPLAY)
def test_every_other_fault_is_one_of_a_thorough_replay(file: str) -> None:
    errors = {code for code, _ in BAD[file]} - HARMLESS
    store = JsonlStore(VECTORS / file)
    replay = Replay(thorough=True)
    try:
        for row in store.rows():
            replay.take(row)
        replay.settle()
        taken = store.whole() and not replay.torn and replay.head.size > 0
    except LedgerError:
        taken = False
    assert taken == (not errors)


@pytest.mark.parametrize("file", sorted(path.name for path in (VECTORS / "accept").iterdir()))
def test_every_odd_but_good_ledger_is_taken(file: str) -> None:
    path = VECTORS / "accept" / file
    assert b"".join(export_lines(path)) == path.read_bytes()


def test_an_unsigned_run_counts_as_torn_until_its_signature_comes() -> None:
    forge = begun()
    forge.add(RUNNER, signed=False)
    forge.add(RUNNER, signed=False)
    forge.add(RUNNER)
    replay, torn = Replay(), []
    for row in rows_of(forge):
        replay.take(row)
        torn.append(replay.torn)
    assert torn == [0, 1, 2, 0]


def test_dropping_a_torn_run_restores_head_root_and_time() -> None:
    forge = begun()
    forge.add(OWNER)
    before = take_all(forge)
    forge.add(RUNNER, signed=False, time="2031-01-01T00:00:00.000000Z")
    forge.add(RUNNER, signed=False)
    replay = Replay()
    for row in rows_of(forge):
        replay.take(row)
    replay.drop_torn()
    assert (replay.head, replay.time, replay.torn) == (before.head, before.time, 0)
    assert replay.frontier.root() == before.frontier.root()
    replay.drop_torn()  # nothing more to drop
    assert replay.head == before.head


@pytest.mark.parametrize("thorough", [False, True])
def test_the_signature_of_the_last_run_is_checked_however_lightly_one_reads(
    thorough: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    forge = begun()
    forge.add(RUNNER, signed=False)
    forge.add(RUNNER, signs=OWNER)
    with pytest.raises(BrokenLinkError, match="signature"):
        take_all(forge, thorough=thorough)


def test_an_entry_refused_leaves_the_state_as_it_was() -> None:
    forge = begun()
    forge.add(RUNNER, signed=False)
    replay = Replay()
    for row in rows_of(forge):
        replay.take(row)
    before = (replay.head, replay.torn, replay.time)
    for wrong in (
        {"by": OWNER},  # a batch of two keys
        {"by": RUNNER, "event_type": "governance.approved"},  # without the role
        {"by": RUNNER, "event_type": "key.revoked", "signed": False},
        {"by": RUNNER, "prev": "0" * 64},
        {"by": RUNNER, "seq": 7},
        {"by": RUNNER, "ledger": "0" * 64},
        {"by": RUNNER, "time": "2026-02-30T10:00:00.000000Z"},
    ):
        branch = Forge(forge.ledger, forge.size, forge.prev)
        line = branch.add(**wrong)
        with pytest.raises(BrokenLinkError) as caught:
            replay.take(unframe(line[:-1]))
        assert caught.value.seq == 2
        assert (replay.head, replay.torn, replay.time) == before
    forge.add(RUNNER)
    replay.take(rows_of(forge)[-1])
    replay.settle()
    assert replay.torn == 0


def test_a_recorded_hash_that_is_not_the_hash_is_refused() -> None:
    forge = begun()
    raw, _, sig = rows_of(forge)[0]
    with pytest.raises(BrokenLinkError, match="hash"):
        Replay().take((raw, bytes(32), sig))


@pytest.mark.parametrize("signed", [True, False])
def test_a_signature_that_is_not_what_the_entry_says_is_refused(
    signed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    forge = begun()
    raw = unframe(forge.add(OWNER, signed=signed)[:-1])[0]
    replay = Replay()
    replay.take(rows_of(forge)[0])
    sig = None if signed else bytes(64)
    with pytest.raises(BrokenLinkError):
        replay.take((raw, digest_of(raw), sig))


@pytest.mark.parametrize(
    ("changes", "members"),
    [
        ({"format": "evidence-ledger/v2"}, {}),
        ({"name": 7}, {}),
        ({"nonce": "0" * 31}, {}),
        ({"nonce": "A" * 32}, {}),
        ({"roles": {"owner": ["*"], "r": ["g*"]}}, {}),
        ({"roles": {"owner": ["*", "x.*"]}}, {}),
        ({"roles": {"owner": "*"}}, {}),
        ({"roles": []}, {}),
        ({"keys": {}}, {}),
        ({"keys": []}, {}),
        ({"keys": ["me"]}, {}),
        ({"keys": [RUNNER.record(["owner"])]}, {}),
        ({"keys": [OWNER.record(["runner"])]}, {}),
        ({"keys": [OWNER.record(["owner", "king"])]}, {}),
        ({"keys": [OWNER.record("owner")]}, {}),
        ({"keys": [OWNER.record(["owner"]), OWNER.record(["runner"], name="two")]}, {}),
        ({"keys": [OWNER.record(["owner"]), RUNNER.record(["runner"], name="owner")]}, {}),
        ({"more": 1}, {}),
        ({}, {"subject": "run/1"}),
        ({}, {"event_type": "x.created"}),
        ({}, {"signed": False}),
        ({}, {"prev": "0" * 64}),
        ({}, {"ledger": "0" * 64}),
        ({}, {"seq": 1}),
    ],
)
def test_a_ledger_that_does_not_begin_as_section_5_asks_is_refused(
    changes: dict[str, object], members: dict[str, object]
) -> None:
    good = Forge()
    good.genesis()
    data = json.loads(rows_of(good)[0][0])["data"]
    forge = Forge()
    chosen = {"by": OWNER, "event_type": "ledger.created", "data": {**data, **changes}, **members}
    forge.add(**chosen)
    with pytest.raises(MalformedError):
        take_all(forge)
