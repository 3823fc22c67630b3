"""The key register, rule by rule of section 5. Attacks on it: ``tests/attacks/test_keys.py``."""

from typing import Any

import pytest
from forge import MALLORY, OWNER, REVIEWER, RUNNER, WRAPPER

from ledger.errors import KeyRefusedError, MalformedError
from ledger.register import Register, key_id

ROLES = {"owner": ["*"], "runner": ["gate.*", "run.planned"], "all": ["*"], "none": []}


def genesis(**changes: Any) -> dict[str, Any]:
    return {
        "format": "evidence-ledger/v1",
        "name": "demo",
        "nonce": "0123456789abcdef" * 2,
        "roles": ROLES,
        "keys": [OWNER.record(["owner"]), RUNNER.record(["runner"])],
        **changes,
    }


@pytest.fixture
def register() -> Register:
    made = Register()
    made.create(genesis(), OWNER.id)
    return made


def test_a_key_id_is_the_sha256_of_the_key() -> None:
    assert key_id(OWNER.public) == OWNER.id


def test_entry_0_fills_the_register(register: Register) -> None:
    assert {key.name: key.roles for key in register.keys.values()} == {
        "owner": ("owner",),
        "runner": ("runner",),
    }
    assert [key.id for key in register.owners()] == [OWNER.id]


@pytest.mark.parametrize(
    "pattern",
    ["*", "gate.*", "gate.checked", "a.b.*", "a.b.c", "a1_.b", "a.*"],
)
def test_a_pattern_of_section_5_is_taken(pattern: str) -> None:
    Register().create(genesis(roles={**ROLES, "r": [pattern]}), OWNER.id)


@pytest.mark.parametrize(
    "pattern",
    ["", "**", "gate*", "gate.", ".*", "*.gate", "gate.*.x", "g.**", "Gate.*", "gate", "a..*",
     "gate.* ", "x." + "a" * 127,
     "gate.*\n", "ga[t]e.x", "1.x", 7, None, ["*"]],
)  # fmt: skip
def test_a_pattern_of_another_form_is_refused(pattern: object) -> None:
    with pytest.raises(MalformedError):
        Register().create(genesis(roles={**ROLES, "r": [pattern]}), OWNER.id)


@pytest.mark.parametrize(
    ("event_type", "allowed"),
    [
        ("gate.checked", True),
        ("gate.a.b", True),
        ("gatex.checked", False),
        ("run.planned", True),
        ("run.planned.x", False),
        ("run.opened", False),
        ("key.revoked", False),
    ],
)
def test_a_role_allows_what_its_patterns_say(
    register: Register,
    event_type: str,
    allowed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    for _ in range(2):  # the second answer is remembered
        if allowed:
            assert register.check(RUNNER.id, event_type).name == "runner"
        else:
            with pytest.raises(KeyRefusedError):
                register.check(RUNNER.id, event_type)


def test_key_events_need_the_role_named_owner(register: Register) -> None:
    register.apply("key.authorized", MALLORY.record(["all"]), seq=1)
    register.check(MALLORY.id, "governance.approved")
    with pytest.raises(KeyRefusedError):
        register.check(MALLORY.id, "key.revoked")
    register.check(OWNER.id, "key.revoked")


def test_a_key_without_roles_may_do_nothing(register: Register) -> None:
    register.apply("key.authorized", MALLORY.record([]), seq=1)
    with pytest.raises(KeyRefusedError):
        register.check(MALLORY.id, "x.a")


def test_what_was_remembered_does_not_outlive_a_key_event(register: Register) -> None:
    register.check(RUNNER.id, "gate.checked")
    register.apply("key.revoked", {"key": RUNNER.id, "reason": "left"}, seq=5)
    with pytest.raises(KeyRefusedError, match="entry 5"):
        register.check(RUNNER.id, "gate.checked")


def test_a_rotated_key_hands_its_roles_on(register: Register) -> None:
    register.apply("key.rotated", {"key": RUNNER.id, "by": MALLORY.record()}, seq=3)
    assert register.check(MALLORY.id, "gate.checked").roles == ("runner",)
    with pytest.raises(KeyRefusedError, match="rotated at entry 3"):
        register.check(RUNNER.id, "gate.checked")
    register.apply("key.rotated", {"key": MALLORY.id, "by": WRAPPER.record()}, seq=4)
    assert register.check(WRAPPER.id, "gate.checked").roles == ("runner",)


def test_a_copy_lives_its_own_life(register: Register) -> None:
    copy = register.copy()
    copy.apply("key.revoked", {"key": RUNNER.id, "reason": "left"}, seq=5)
    register.check(RUNNER.id, "gate.checked")
    with pytest.raises(KeyRefusedError):
        copy.check(RUNNER.id, "gate.checked")


REFUSED: list[tuple[str, Any]] = [
    ("key.authorized", {**MALLORY.record(["runner"]), "more": 1}),
    ("key.authorized", MALLORY.record()),
    ("key.authorized", {**MALLORY.record(["runner"]), "alg": "rsa"}),
    ("key.authorized", {**MALLORY.record(["runner"]), "name": 7}),
    ("key.authorized", {**MALLORY.record(["runner"]), "roles": "runner"}),
    ("key.authorized", {**MALLORY.record(["runner"]), "roles": [7]}),
    ("key.authorized", {**MALLORY.record(["runner"]), "roles": ["king"]}),
    ("key.authorized", {**MALLORY.record(["runner"]), "public": 7}),
    ("key.authorized", {**MALLORY.record(["runner"]), "public": "!"}),
    ("key.authorized", {**MALLORY.record(["runner"]), "public": "é"}),
    ("key.authorized", {**MALLORY.record(["runner"]), "public": ""}),
    ("key.authorized", RUNNER.record(["runner"], name="again")),
    ("key.authorized", MALLORY.record(["runner"], name="runner")),
    ("key.rotated", {"key": RUNNER.id}),
    ("key.rotated", {"key": RUNNER.id, "by": MALLORY.record(), "roles": ["owner"]}),
    ("key.rotated", {"key": RUNNER.id, "by": MALLORY.record(["owner"])}),
    ("key.rotated", {"key": RUNNER.id, "by": "mallory"}),
    ("key.rotated", {"key": RUNNER.id, "by": RUNNER.record(name="again")}),
    ("key.rotated", {"key": RUNNER.id, "by": MALLORY.record(name="runner")}),
    ("key.rotated", {"key": MALLORY.id, "by": REVIEWER.record()}),
    ("key.rotated", {"key": RUNNER.id.upper(), "by": MALLORY.record()}),
    ("key.rotated", {"key": 7, "by": MALLORY.record()}),
    ("key.revoked", {"key": RUNNER.id}),
    ("key.revoked", {"key": RUNNER.id, "reason": 7}),
    ("key.revoked", {"key": RUNNER.id, "reason": "x", "more": 1}),
    ("key.revoked", {"key": MALLORY.id, "reason": "x"}),
    ("key.revoked", {"key": None, "reason": "x"}),
    ("key.revoked", {"key": OWNER.id, "reason": "the last owner"}),
    ("key.revoked", {"key": OWNER.id, "reason": "x", "compromised_since": 0}),
    ("key.revoked", {"key": RUNNER.id, "reason": "x", "compromised_since": None}),
    ("key.revoked", {"key": RUNNER.id, "reason": "x", "compromised_since": True}),
    ("key.revoked", {"key": RUNNER.id, "reason": "x", "compromised_since": 1.0}),
    ("key.revoked", {"key": RUNNER.id, "reason": "x", "compromised_since": -1}),
    ("key.revoked", {"key": RUNNER.id, "reason": "x", "compromised_since": 10}),
    ("ledger.created", genesis()),
]


@pytest.mark.parametrize(("event_type", "data"), REFUSED)
def test_a_refused_event_changes_nothing(
    register: Register, event_type: str, data: dict[str, Any]
) -> None:
    before = dict(register.keys)
    with pytest.raises(MalformedError):
        register.apply(event_type, data, seq=9)
    assert register.keys == before


@pytest.mark.parametrize("since", [0, 5, 9])
def test_a_key_may_be_compromised_since_any_entry_up_to_its_revocation(
    register: Register, since: int
) -> None:
    data = {"key": RUNNER.id, "reason": "stolen", "compromised_since": since}
    register.apply("key.revoked", data, seq=9)
    register.apply("key.revoked", {**data, "compromised_since": 0}, seq=10)
    assert register.keys[RUNNER.id].since == 9


def test_a_rotated_owner_no_longer_counts_as_one(register: Register) -> None:
    register.apply("key.authorized", REVIEWER.record(["owner"]), seq=1)
    register.apply("key.rotated", {"key": OWNER.id, "by": MALLORY.record()}, seq=2)
    assert {key.id for key in register.owners()} == {REVIEWER.id, MALLORY.id}
    register.apply("key.revoked", {"key": REVIEWER.id, "reason": "x"}, seq=3)
    with pytest.raises(MalformedError):
        register.apply("key.revoked", {"key": MALLORY.id, "reason": "x"}, seq=4)
    # The old owner is out; saying since when it was bad takes nobody away.
    data = {"key": OWNER.id, "reason": "x", "compromised_since": 0}
    register.apply("key.revoked", data, seq=5)


def test_roles_are_asked_for_by_name(register: Register) -> None:
    assert register.has_role(OWNER.id, "log", "owner")
    assert not register.has_role(RUNNER.id, "log", "owner")
    assert not register.has_role(MALLORY.id, "owner")


def test_an_event_of_another_family_is_none_of_its_business(register: Register) -> None:
    before = dict(register.keys)
    register.apply("key.invented", {}, seq=1)
    assert register.keys == before
