"""Attacks through keys that are borrowed, out, or of the wrong hand (``threats.md``)."""

import base64
from pathlib import Path

import pytest
from forge import (
    MALLORY,
    OWNER,
    REVIEWER,
    RUNNER,
    STORES,
    WRAPPER,
    Forge,
    append_foreign,
    codes,
    lines_of,
    new_book,
    verdict,
    walk,
)

from ledger import (
    Event,
    Key,
    KeyRefusedError,
    Ledger,
    LedgerError,
    MalformedError,
    MisuseError,
)


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner"), (WRAPPER, "wrapper")).close()
    return place


def note() -> Event:
    return Event("x.note", "", {})


def test_an_unknown_key_may_not_sign(path: Path) -> None:
    with Ledger.open(path, key=MALLORY.key) as book, pytest.raises(KeyRefusedError):
        book.append(note())


def test_a_revoked_key_may_not_sign_even_through_a_handle_opened_before(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Ledger.open(path, key=OWNER.key) as owner:
        book.append(note())
        owner.revoke(RUNNER.id, reason="left")
        for _ in range(2):
            with pytest.raises(KeyRefusedError):
                book.append(note())
    assert walk(path)[-1]["type"] == "key.revoked"


def test_a_rotated_key_may_not_sign_and_its_successor_may(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Ledger.open(path, key=OWNER.key) as owner:
        owner.rotate(RUNNER.id, by=REVIEWER.public, name="runner-2")
        with pytest.raises(KeyRefusedError):
            book.append(note())
    with Ledger.open(path, key=REVIEWER.key) as book:
        book.append(note())
    assert verdict(path).outcome == "VERIFIED"


def test_a_key_may_not_sign_before_it_is_authorised(path: Path) -> None:
    with Ledger.open(path, key=MALLORY.key) as book, Ledger.open(path, key=OWNER.key) as owner:
        with pytest.raises(KeyRefusedError):
            book.append(note())
        owner.authorize(MALLORY.public, name="mallory", roles=["runner"])
        book.append(note())
    assert verdict(path).outcome == "VERIFIED"


def test_an_entry_signed_one_before_its_authorisation_stops_the_writer(path: Path) -> None:
    forge = Forge.behind(lines_of(path))
    append_foreign(path, forge.add(MALLORY))
    append_foreign(path, forge.add(OWNER, "key.authorized", MALLORY.record(["runner"])))
    with pytest.raises(MalformedError):
        Ledger.open(path, key=OWNER.key)
    assert ("key.unknown", 3) in codes(path)


@pytest.mark.parametrize(
    "event",
    [
        Event("key.authorized", "", MALLORY.record(["owner"])),
        Event("key.revoked", "", {"key": OWNER.id, "reason": "coup"}),
        Event("key.rotated", "", {"key": OWNER.id, "by": MALLORY.record()}),
    ],
    ids=lambda event: event.type,
)
def test_a_key_event_needs_an_owner(path: Path, event: Event) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        with pytest.raises(KeyRefusedError):
            book.append(event)
        book.append(note())
    assert verdict(path).outcome == "VERIFIED"


def test_a_role_with_every_pattern_is_still_no_owner(tmp_path: Path) -> None:
    """``key.*`` entries need the role *named* owner, whatever other patterns say."""
    roles = {"owner": ["*"], "king": ["*", "key.*"]}
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=OWNER.key, roles=roles) as book:
        book.authorize(RUNNER.public, name="runner", roles=["king"])
    with Ledger.open(path, key=RUNNER.key) as book, pytest.raises(KeyRefusedError):
        book.authorize(MALLORY.public, name="mallory", roles=["owner"])


def test_a_key_event_without_authority_does_not_silence_an_honest_key(path: Path) -> None:
    """Refused by writers; and verifiers let it have no effect."""
    forge = Forge.behind(lines_of(path))
    append_foreign(path, forge.add(RUNNER, "key.revoked", {"key": WRAPPER.id, "reason": "no"}))
    append_foreign(path, forge.add(WRAPPER))
    with pytest.raises(MalformedError):
        Ledger.open(path, key=OWNER.key)
    assert codes(path) == {("key.role", 3)}


def test_the_last_owner_is_not_revoked(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        with pytest.raises(MalformedError):
            book.revoke(OWNER.id, reason="tired")
        book.authorize(REVIEWER.public, name="second", roles=["owner"])
        book.revoke(OWNER.id, reason="tired")
        with pytest.raises(KeyRefusedError):
            book.append(note())
    with Ledger.open(path, key=REVIEWER.key) as book, pytest.raises(MalformedError):
        book.revoke(REVIEWER.id, reason="tired too")


def test_the_last_owner_is_not_rotated_to_a_key_that_is_not_held(path: Path) -> None:
    """A mistyped key would leave the ledger without an owner for ever."""
    with Ledger.open(path, key=OWNER.key) as book:
        for _ in range(2):
            with pytest.raises(MisuseError, match="last owner"):
                book.rotate(OWNER.id, by=MALLORY.public, name="owner-2")
        book.append(note())
        book.rotate(OWNER.id, by=REVIEWER.key, name="owner-2")
    with Ledger.open(path, key=REVIEWER.key) as book:
        book.append(note())
    assert verdict(path).outcome == "VERIFIED"


def test_the_last_owner_is_not_rotated_away_through_a_raw_event_either(path: Path) -> None:
    data = {"key": OWNER.id, "by": MALLORY.record()}
    with Ledger.open(path, key=OWNER.key) as book, pytest.raises(MisuseError):
        book.append(Event("key.rotated", "", data))


def test_two_owners_do_not_take_each_other_out_in_one_batch(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        book.authorize(REVIEWER.public, name="second", roles=["owner"])
        with pytest.raises(LedgerError):
            book.append_batch(
                [
                    Event("key.revoked", "", {"key": REVIEWER.id, "reason": "a"}),
                    Event("key.rotated", "", {"key": OWNER.id, "by": MALLORY.record()}),
                ]
            )
        assert book.append(note()).seq == 4
    with Ledger.open(path, key=REVIEWER.key) as book:
        book.append(note())
    assert verdict(path).outcome == "VERIFIED"


@pytest.mark.parametrize(
    ("public", "name"),
    [
        (RUNNER.public, "runner-again"),
        (MALLORY.public, "runner"),
        (OWNER.public, "other"),
        (MALLORY.public, "gone"),
        (REVIEWER.public, "back"),
    ],
)
def test_a_key_and_a_name_enter_a_register_once_ever(path: Path, public: bytes, name: str) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        book.authorize(REVIEWER.public, name="gone", roles=["reviewer"])
        book.revoke(REVIEWER.id, reason="gone")
        with pytest.raises(MalformedError):
            book.authorize(public, name=name, roles=["runner"])
        with pytest.raises(MalformedError):
            book.rotate(RUNNER.id, by=public, name=name)


def test_a_role_that_entry_0_does_not_name_is_not_given(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        for roles in (["king"], ["runner", "king"], ["Owner"]):
            with pytest.raises(MalformedError):
                book.authorize(MALLORY.public, name="mallory", roles=roles)


def test_a_key_that_is_out_is_revoked_again_only_to_say_since_when_it_was_bad(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        book.revoke(RUNNER.id, reason="left")
        with pytest.raises(MalformedError):
            book.revoke(RUNNER.id, reason="left")
        with pytest.raises(MalformedError):
            book.rotate(RUNNER.id, by=MALLORY.public, name="runner-2")
        for since in (-1, 5, 2**53):
            with pytest.raises(LedgerError):
                book.revoke(RUNNER.id, reason="stolen", compromised_since=since)
        book.revoke(RUNNER.id, reason="stolen", compromised_since=3)
    assert walk(path)[-1]["data"]["compromised_since"] == 3


def test_a_second_genesis_is_refused(path: Path) -> None:
    data = walk(path)[0]["data"]
    with Ledger.open(path, key=OWNER.key) as book:
        for _ in range(2):
            with pytest.raises(MisuseError):
                book.append(Event("ledger.created", "", data))
    forge = Forge.behind(lines_of(path))
    append_foreign(path, forge.genesis())
    with pytest.raises(MalformedError):
        Ledger.open(path, key=OWNER.key)


def test_a_key_event_in_a_batch_is_signed_itself_and_acts_at_once(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        book.append_batch(
            [
                note(),
                Event("key.authorized", "", MALLORY.record(["runner"])),
                note(),
                Event("key.revoked", "", {"key": RUNNER.id, "reason": "left"}),
                note(),
                note(),
            ]
        )
    assert [entry["signed"] for entry in walk(path)[3:]] == [False, True, False, True, False, True]
    assert verdict(path).outcome == "VERIFIED"


def test_an_owner_who_goes_out_in_a_batch_signs_nothing_after_it(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        book.authorize(REVIEWER.public, name="second", roles=["owner"])
        with pytest.raises(KeyRefusedError):
            book.append_batch(
                [Event("key.revoked", "", {"key": OWNER.id, "reason": "bye"}), note()]
            )
        assert book.append(note()).seq == 4


def test_a_key_found_inside_the_ledger_is_not_an_anchor(tmp_path: Path) -> None:
    """Mallory's own ledger is as good as any; only the id from outside tells."""
    forge = Forge()
    forge.genesis(MALLORY.record(["owner"], name="owner"), by=MALLORY)
    found = verdict(forge.write(tmp_path / "book.jsonl"))
    assert (found.outcome, found.reading.anchored) == ("VERIFIED", False)


def test_the_seed_is_not_shown(tmp_path: Path) -> None:
    key = Key.generate("secret")
    assert key.seed.hex() not in repr(key) + str(key)
    key.write(tmp_path / "key")
    assert key.seed not in (tmp_path / "key.pub").read_bytes()


def test_an_entry_under_a_non_canonical_base64_key_is_refused(path: Path) -> None:
    """Two texts for one key would be two registrations of it."""
    public = base64.b64encode(MALLORY.public).decode()
    twisted = public[:-2] + chr(ord(public[-2]) + 1) + "="
    assert base64.b64decode(twisted) == MALLORY.public
    record = {"alg": "ed25519", "public": twisted, "name": "m", "roles": ["runner"]}
    with Ledger.open(path, key=OWNER.key) as book, pytest.raises(MalformedError):
        book.append(Event("key.authorized", "", record))
