"""The ledger as a program uses it: create, open, append, read."""

import json
import threading
from pathlib import Path

import history
import pytest
from forge import (
    MALLORY,
    OWNER,
    RUNNER,
    STORES,
    VECTORS,
    WRAPPER,
    Forge,
    append_foreign,
    lines_of,
    new_book,
    verdict,
    walk,
)

import ledger
from ledger import (
    DEFAULT_ROLES,
    ConflictError,
    Event,
    Head,
    KeyFileError,
    Ledger,
    MalformedError,
    MisuseError,
    OversizeError,
    StoreError,
)
from ledger.merkle import root_of


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner"), (WRAPPER, "wrapper")).close()
    return place


def event(number: int = 1, event_id: str | None = None) -> Event:
    return Event("x.step", "run/1", {"n": number}, event_id)


def test_what_the_package_exports_is_what_it_says() -> None:
    assert set(ledger.__all__) == {
        "DEFAULT_ROLES", "BrokenLinkError", "ConflictError", "Entry", "Event", "Head", "Key",
        "KeyFileError", "KeyRefusedError", "Ledger", "LedgerError", "LockedError", "MalformedError",
        "MisuseError", "OversizeError", "Receipt", "Recorder", "StoreError", "number",
    }  # fmt: skip
    for name in ledger.__all__:
        assert getattr(ledger, name) is not None


def test_a_new_ledger_is_verified_and_has_its_owner(path: Path) -> None:
    with Ledger.open(path) as book:
        entries = walk(path)
        assert (book.id, book.name, book.size) == (entries[0]["hash"], "demo", 3)
        assert book.path == path
        assert book.register.keys[OWNER.id].roles == ("owner",)
        assert entries[0]["data"]["roles"] == {k: list(v) for k, v in DEFAULT_ROLES.items()}
    assert verdict(path).outcome == "VERIFIED"


def test_two_ledgers_of_one_owner_have_two_ids(tmp_path: Path) -> None:
    ids = {new_book(tmp_path / f"{n}.jsonl").id for n in range(3)}
    assert len(ids) == 3


def test_a_directory_gets_a_database(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "run", name="demo", key=OWNER.key) as book:
        assert book.path == tmp_path / "run" / "ledger.sqlite"
    with Ledger.open(tmp_path / "run") as book:
        assert book.size == 1


def test_a_ledger_is_not_made_over_another(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError, match="exists"):
        Ledger.create(path, name="demo", key=OWNER.key)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "roles",
    [
        {},
        {"owner": []},
        {"owner": ["*", "x.*"]},
        {"owner": ["*"], "r": ["g*"]},
        {"owner": ["*"], "r": ["Gate.*"]},
        {"runner": ["*"]},
    ],
)
def test_roles_that_section_5_does_not_allow_make_no_ledger(
    tmp_path: Path, roles: dict[str, list[str]]
) -> None:
    with pytest.raises(MisuseError):
        Ledger.create(tmp_path / "a.jsonl", name="demo", key=OWNER.key, roles=roles)
    assert not list(tmp_path.iterdir())


def test_a_receipt_says_where_the_entry_stands(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        receipts = [book.append(event(1)), *book.append_batch([event(2, "mine"), event(3)])]
    entries = walk(path)
    assert [made.seq for made in receipts] == [3, 4, 5]
    assert receipts[1].id == "mine"
    for made in receipts:
        assert (entries[made.seq]["id"], entries[made.seq]["hash"]) == (made.id, made.hash)
    assert [entry["signed"] for entry in entries[3:]] == [True, False, True]


def test_head_and_root_follow_every_append(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        for number in range(9):
            book.append_batch([event(n) for n in range(1 + number % 3)])
            leaves = [bytes.fromhex(entry["hash"]) for entry in walk(path)]
            assert book.head == Head(len(leaves), leaves[-1])
            assert book.root() == root_of(leaves)
        with Ledger.open(path) as reader:
            assert (reader.head, reader.root()) == (book.head, book.root())


def test_the_golden_ledger_is_opened_with_its_roots() -> None:
    golden = json.loads((VECTORS / "golden.json").read_text())
    with Ledger.open(VECTORS / "golden.jsonl") as book:
        assert book.id == golden["ledger"]
        assert book.root().hex() == golden["roots"][str(book.size)]


def test_an_empty_batch_is_nothing(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        assert book.append_batch([]) == []
        assert book.size == 3


def test_entries_are_read_whole_or_in_part(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([event(n, f"id-{n}") for n in range(5)])
        assert [entry.seq for entry in book.entries()] == list(range(8))
        assert [entry.seq for entry in book.entries(2, 5)] == [2, 3, 4]
        found = book.find("id-3")
        assert found is not None
        assert (found.seq, found.data, found.type) == (6, {"n": 3}, "x.step")
        assert book.find("nothing") is None
        assert [row[0] for row in book.rows(6, 7)] == [found.raw]


def test_a_reader_cannot_write(path: Path) -> None:
    with Ledger.open(path) as book:
        for use in (
            lambda: book.append(event()),
            lambda: book.key,
            lambda: book.authorize(MALLORY.public, name="m", roles=["runner"]),
        ):
            with pytest.raises(KeyFileError, match="without a key"):
                use()


def test_a_reader_sees_what_others_append_when_it_looks_again(path: Path) -> None:
    with Ledger.open(path) as reader, Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
        assert reader.size == 3
        assert reader.refresh() == book.head
        assert reader.size == 4


def test_a_writer_sees_what_others_append_when_it_looks_again(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as one, Ledger.open(path, key=WRAPPER.key) as other:
        other.append(event())
        assert one.size == 3
        assert one.refresh() == other.head


def test_an_append_with_the_expected_head_wins_once(path: Path) -> None:
    """Compare and swap: whoever loses the race reads on."""
    with Ledger.open(path, key=RUNNER.key) as one, Ledger.open(path, key=WRAPPER.key) as other:
        head = one.head
        one.append(event(1), expected_head=head)
        for _ in range(2):
            with pytest.raises(ConflictError, match="head"):
                other.append(event(2), expected_head=head)
        other.append(event(2), expected_head=one.head)
    assert [entry["data"] for entry in walk(path)[3:]] == [{"n": 1}, {"n": 2}]


def test_a_head_of_the_right_size_and_another_hash_is_not_expected(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, pytest.raises(ConflictError):
        book.append(event(), expected_head=Head(3, bytes(32)))


def test_repeating_an_append_gives_the_same_receipt(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        first = book.append_batch([event(1, "a"), event(2, "b")])
        assert book.append_batch([event(1, "a"), event(2, "b")]) == first
        mixed = book.append_batch([event(3, "c"), event(2, "b"), event(4)])
        assert mixed[1] == first[1]
        assert [made.seq for made in mixed] == [5, 4, 6]
    with Ledger.open(path, key=RUNNER.key) as book:
        assert book.append(event(1, "a")) == first[0]
    assert len(walk(path)) == 7


def test_an_event_twice_in_one_batch_is_one_entry(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        receipts = book.append_batch([event(1, "a"), event(2), event(1, "a")])
        assert receipts[0] == receipts[2]
        with pytest.raises(ConflictError):
            book.append_batch([event(1, "b"), event(2, "b")])
    assert len(walk(path)) == 5


@pytest.mark.parametrize(
    "other",
    [
        Event("x.step", "run/1", {"n": 1.0}, "a"),
        Event("x.step", "run/1", {"n": 1, "m": 1}, "a"),
        Event("x.step", "run/2", {"n": 1}, "a"),
        Event("x.other", "run/1", {"n": 1}, "a"),
    ],
)
def test_an_id_is_not_used_for_another_event(path: Path, other: Event) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1, "a"))
        with pytest.raises(ConflictError):
            book.append_batch([event(5), other])
        assert book.append(event(1, "a")).seq == 3
    assert len(walk(path)) == 4


@pytest.mark.parametrize(
    "bad",
    [
        Event("x.step", "", {"a": float("nan")}),
        Event("x.step", "", {"a": object()}),
        Event("x.step", "", b'{"a":1,"a":NaN} '),
        Event("x.step", "", {"a": "x" * 66_000}),
        Event("gate.checked", "", {"decision": "maybe"}),
        Event("governance.approved", "", {}),
        Event("key.revoked", "", {"key": "x"}),
    ],
    ids=lambda event: f"{event.type} {str(event.data)[:20]}",
)
def test_a_batch_with_one_bad_event_leaves_nothing_of_it(path: Path, bad: Event) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        before = lines_of(path)
        for _ in range(2):
            with pytest.raises(ledger.LedgerError):
                book.append_batch([event(1), bad, event(2)])
        assert lines_of(path) == before
        assert book.append(event(3)).seq == 3


def test_an_oversize_event_says_what_to_do(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, pytest.raises(OversizeError, match="blob"):
        book.append(Event("x.big", "", {"a": "x" * 66_000}))


def test_the_largest_event_that_fits_is_taken_and_one_byte_more_is_not(path: Path) -> None:
    def sized(count: int) -> Event:
        return Event("x.big", "", {"a": "x" * count}, "big")

    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(Event("x.big", "", {"a": ""}, "big-1"))
        header = len(walk(path)[3]["data"]["a"]) + len(lines_of(path)[3]) - 172 - 9 - 1 - 2
        fits = 65_535 - header
        while True:  # the number of digits of seq may differ by one
            try:
                book.append(sized(fits))
            except OversizeError:
                fits -= 1
            else:
                break
            assert fits > 64_900
    entry = next(entry for entry in walk(path) if entry["id"] == "big")
    assert len(entry["data"]["a"]) == fits


def test_time_never_runs_backwards_in_a_ledger(path: Path) -> None:
    """Another writer's clock is ahead: ours waits for it, in what it writes."""
    future = "2999-12-31T23:59:59.999999Z"
    append_foreign(path, Forge.behind(lines_of(path)).add(RUNNER, time=future))
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
        book.append(event())
    assert [entry["time"] for entry in walk(path)[4:]] == [future, future]
    assert verdict(path).findings == ()


def test_times_are_real_and_ascend(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        for number in range(20):
            book.append(event(number))
    times = [entry["time"] for entry in walk(path)]
    assert times == sorted(times)
    assert len(set(times)) > 10


def test_threads_share_a_ledger(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:

        def work(name: int) -> None:
            for number in range(10):
                book.append(Event("x.t", f"thread/{name}", {"n": number}))
                list(book.entries(0, 3))
                book.find("nothing")

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in range(4):
        told = [e["data"]["n"] for e in walk(path) if e["subject"] == f"thread/{name}"]
        assert told == list(range(10))


def test_reading_while_appending_ends(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        for number, _ in enumerate(book.entries()):
            book.append(event(number))
            assert number < 10
        assert book.size == 6


def test_a_damaged_ledger_can_be_looked_at_but_not_written(path: Path) -> None:
    append_foreign(path, Forge.behind(lines_of(path)).add(RUNNER, prev="0" * 64))
    with pytest.raises(MalformedError):
        Ledger.open(path, key=RUNNER.key)
    with pytest.raises(MalformedError):
        Ledger.open(path)


def test_a_handle_survives_damage_that_it_meets(path: Path) -> None:
    """Refresh and append report it each time, and nothing is written."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        append_foreign(path, Forge.behind(lines_of(path)).add(RUNNER, prev="0" * 64))
        before = lines_of(path)
        for _ in range(2):
            with pytest.raises(MalformedError):
                book.refresh()
            with pytest.raises(MalformedError):
                book.append(event(2))
        assert lines_of(path) == before
        assert (book.size, len(book.id), book.name) == (4, 64, "demo")


def test_others_wait_while_a_ledger_is_locked(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as one:
        other = Ledger.open(path, key=WRAPPER.key, timeout=0.1)
        with one.locked(), pytest.raises(ledger.LockedError):
            other.append(event())
        other.append(event())
        other.close()


def test_a_ledger_of_another_version_is_named_as_such(tmp_path: Path) -> None:
    forge = Forge()
    forge.genesis()
    forge.lines[0] = forge.lines[0].replace(b'{"v":1,', b'{"v":2,', 1)
    path = tmp_path / "book.jsonl"
    path.write_bytes(forge.lines[0])
    with pytest.raises(MalformedError):
        Ledger.open(path)


def test_blobs_lie_beside_the_ledger(path: Path) -> None:
    with Ledger.open(path) as book:
        assert book.blobs.root == path.parent / "blobs" / "sha256"


def test_a_whole_history_is_written_and_verified(tmp_path: Path) -> None:
    for suffix in STORES:
        path = history.write(tmp_path / f"book{suffix}")
        assert len(walk(path)) == history.SIZE
        found = verdict(path)
        assert (found.outcome, found.findings) == ("VERIFIED", ())


def test_a_run_longer_than_a_signature_may_vouch_for_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=OWNER.key) as book:
        book.append_batch([Event("x.a", "", {})] * 65_538)
    signed = [number for number, line in enumerate(lines_of(path)) if not line.endswith(b"null}\n")]
    assert signed == [0, 65_536, 65_538]
    with Ledger.open(path, key=OWNER.key) as book:
        assert book.append(Event("x.a", "", {})).seq == 65_539
