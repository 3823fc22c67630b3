"""Key events and compromised keys: section 5 of the page."""

from collections.abc import Callable
from pathlib import Path

from tests.verifier.builder import (
    LOG,
    OTHER,
    OWNER,
    RUNNER,
    WEAK,
    Builder,
)
from tests.verifier.cases import Cases, Expected, findings_of

CASES = Cases()
case = CASES.add


@case(("key.unknown", 2), ("key.unknown", 3), ("batch.keys", 1), ("batch.keys", 2))
def unsigned_key_event_has_no_effect(b: Builder) -> None:
    b.authorize(OTHER, "other", ["runner"], signed=False)
    b.add(key=OTHER)
    b.add(key=OTHER)


@case(("batch.keys", 1))
def unsigned_key_event_with_its_own_run(b: Builder) -> None:
    b.authorize(OTHER, "other", ["runner"], signed=False)
    b.add(key=OWNER)


@case(("sig.presence", 1), ("batch.keys", 1))
def stripped_key_event(b: Builder) -> None:
    b.authorize(OTHER, "other", ["runner"], strip=True)
    b.add(key=OWNER)


@case(("batch.keys", 2), ("key.unknown", 3))
def key_event_that_closes_a_foreign_run_has_no_effect(b: Builder) -> None:
    b.add(signed=False)
    b.authorize(OTHER, "other", ["runner"])
    b.add(key=OTHER)


@case(("sig.presence", 1), ("key.unknown", 2))
def key_event_signed_against_its_word_has_no_effect(b: Builder) -> None:
    entry = b.add("key.authorized", OTHER.given("o", ["runner"]), OWNER, signed=False)
    b.lines.pop()
    b.raw(entry, OWNER.sign(entry), seq=1)
    b.add(key=OTHER)


@case(("entry.hash", 1), ("key.unknown", 2))
def key_event_with_another_hash_has_no_effect(b: Builder) -> None:
    b.authorize(OTHER, "other", ["runner"], digest="0" * 64)
    b.add(key=OTHER)


@case(("chain.prev", 5), ("chain.seq", 1), ("time.form", 5), ("id.duplicate", 5))
def key_event_with_faults_of_chain_time_and_id_acts(b: Builder) -> None:
    b.authorize(OTHER, "other", ["runner"], prev="0" * 64, seq=5, time="then", id="id-00000")
    b.add(key=OTHER)


@case(("key.role", 1), ("key.unknown", 2))
def key_event_without_the_role_named_owner(b: Builder) -> None:
    b.authorize(OTHER, "other", ["runner"], by=RUNNER)
    b.add(key=OTHER)


@case(("key.role", 1))
def type_beyond_the_role(b: Builder) -> None:
    b.add("x.runs.noted")


@case(("key.role", 1))
def pattern_does_not_match_its_own_prefix(b: Builder) -> None:
    b.add("x.run")


@case(("key.unknown", 1))
def unknown_key_before_role(b: Builder) -> None:
    b.add("y.z", key=OTHER)


@case(("key.revoked", 2))
def revoked_before_role(b: Builder) -> None:
    b.revoke(RUNNER)
    b.add("y.z")


@case(("key.revoked", 2), ("sig.invalid", 2))
def signature_of_a_revoked_key_is_verified_too(b: Builder) -> None:
    b.revoke(RUNNER)
    b.add(sig=b"\x07" * 64)


@case()
def authorised_with_no_roles_and_never_used(b: Builder) -> None:
    b.authorize(OTHER, "other", [])


@case(("event.schema", 1))
def name_used_before(b: Builder) -> None:
    b.authorize(OTHER, "runner", ["runner"])


@case(("event.schema", 1))
def rotated_to_a_name_used_before(b: Builder) -> None:
    b.rotate(RUNNER, OTHER, "runner")


@case(("event.schema", 2))
def name_of_a_revoked_key_is_used_up(b: Builder) -> None:
    b.revoke(RUNNER)
    b.authorize(OTHER, "runner", ["runner"])


@case(("event.schema", 2))
def revoked_twice(b: Builder) -> None:
    b.revoke(RUNNER)
    b.revoke(RUNNER)


@case(("event.schema", 1))
def revoked_unknown(b: Builder) -> None:
    b.revoke(OTHER, 0)


@case(("event.schema", 1))
def compromised_since_the_future(b: Builder) -> None:
    b.revoke(RUNNER, 2)


@case(("event.schema", 1))
def compromised_since_true(b: Builder) -> None:
    b.add("key.revoked", {"key": RUNNER.id, "reason": "r", "compromised_since": True}, OWNER)


@case(("event.schema", 1))
def compromised_since_null(b: Builder) -> None:
    b.add("key.revoked", {"key": RUNNER.id, "reason": "r", "compromised_since": None}, OWNER)


@case(("event.schema", 1))
def revoked_with_another_member(b: Builder) -> None:
    b.add("key.revoked", {"key": RUNNER.id, "reason": "r", "more": 1}, OWNER)


@case(("event.schema", 1))
def authorised_with_an_algorithm_of_another_name(b: Builder) -> None:
    b.add("key.authorized", {**OTHER.given("o", ["runner"]), "alg": "Ed25519"}, OWNER)


@case(("event.schema", 1))
def authorised_with_url_safe_base64(b: Builder) -> None:
    b.add("key.authorized", {**OTHER.given("o", ["runner"]), "public": "_" * 43 + "="}, OWNER)


@case(("event.schema", 1))
def authorised_with_31_bytes(b: Builder) -> None:
    b.add("key.authorized", {**OTHER.given("o", ["runner"]), "public": "A" * 40 + "AA=="}, OWNER)


@case(("key.weak", 1), ("key.role", 1))
def weak_key_without_authority(b: Builder) -> None:
    b.add("key.authorized", {**OTHER.given("x.y", ["runner"]), "public": WEAK}, RUNNER)


@case(("key.weak", 1))
def weak_key_with_an_undefined_role(b: Builder) -> None:
    b.add("key.authorized", {**OTHER.given("owner", ["ghost"]), "public": WEAK}, OWNER)


@case(("key.revoked", 4), ("key.role", 3))
def a_rotated_key_hands_on_its_roles(b: Builder) -> None:
    b.rotate(RUNNER, OTHER, "runner-2")
    b.add(key=OTHER)
    b.add("y.z", key=OTHER)
    b.add(key=RUNNER)


@case(("event.schema", 2), ("key.revoked", 2))
def the_old_owner_may_not_rotate_on(b: Builder) -> None:
    b.rotate(OWNER, OTHER, "owner-2")
    b.rotate(OWNER, LOG, "owner-3")
    b.revoke(RUNNER, by=OTHER)


@case(("event.schema", 3))
def an_owner_revokes_itself_and_the_other_is_the_last(b: Builder) -> None:
    b.authorize(OTHER, "owner-2", ["owner"])
    b.revoke(OWNER)
    b.revoke(OTHER, by=OTHER)


@case(("event.schema", 1), ("key.role", 1))
def second_genesis_by_a_runner(b: Builder) -> None:
    b.add("ledger.created", b.genesis_data(), RUNNER)


@case()
def key_type_that_nobody_knows(b: Builder) -> None:
    b.add("key.frobnicated", {}, OWNER)


@case(("key.role", 1))
def key_type_that_nobody_knows_by_a_runner(b: Builder) -> None:
    b.add("key.frobnicated", {}, RUNNER)


@case(("key.compromised", 2), ("key.compromised", 3), ("key.revoked", 5))
def compromised_up_to_the_revocation(b: Builder) -> None:
    b.add()
    b.add()
    b.add()
    b.revoke(RUNNER, 2)
    b.add()


@case(("key.revoked", 3), ("key.compromised", 3), ("key.compromised", 1), ("key.revoked", 5))
def compromised_later_than_revoked(b: Builder) -> None:
    b.add()
    b.revoke(RUNNER)
    b.add()
    b.revoke(RUNNER, 0)
    b.add()


@case(("key.unknown", 1), ("key.compromised", 1), ("key.role", 3), ("key.compromised", 3))
def compromised_beside_unknown_and_role(b: Builder) -> None:
    b.add(key=OTHER)
    b.authorize(OTHER, "other", ["log"])
    b.add(key=OTHER)
    b.revoke(OTHER, 0)


@case(("key.compromised", 1), ("key.compromised", 3), ("key.revoked", 4))
def a_compromised_owner_keeps_its_effects(b: Builder) -> None:
    b.authorize(OTHER, "owner-2", ["owner"])
    b.add()
    b.revoke(OWNER, 1)
    b.add("x.y", key=OWNER)
    b.add("x.y", key=OTHER)


@case(("key.compromised", 1), ("key.compromised", 2))
def compromised_twice_is_reported_once_each(b: Builder) -> None:
    b.add()
    b.add()
    b.revoke(RUNNER, 2)
    b.revoke(RUNNER, 1)


@case(*[("key.compromised", n) for n in (2, 3, 5, 6)], *[("key.revoked", n) for n in (5, 6, 8)])
def compromised_again_and_again(b: Builder) -> None:
    for _ in range(3):
        b.add()
    b.revoke(RUNNER, 3)
    b.add()
    b.add()
    b.revoke(RUNNER, 2)
    b.add()


@case(("event.schema", 2))
def a_refused_revocation_compromises_nobody(b: Builder) -> None:
    b.add()
    b.revoke(OWNER, 0)


@case(("key.compromised", 1), ("entry.json", 2), ("key.compromised", 3))
def unreadable_entries_of_a_compromised_key_are_not_named(b: Builder) -> None:
    b.add(signed=False)
    b.add(data="\ud800")
    b.add()
    b.revoke(RUNNER, 1)


@CASES.parametrize
def test_a_ledger_has_exactly_these_findings(
    make: Callable[[Builder], None], expected: Expected, tmp_path: Path
) -> None:
    assert findings_of(make, tmp_path) == expected
