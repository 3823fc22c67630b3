"""Ledgers made against the page, each with the exact set of findings that the page gives it."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verifier.builder import (
    LOG,
    OTHER,
    OWNER,
    ROLES,
    RUNNER,
    Builder,
    Notebook,
    Signer,
    codes,
    read,
)

Expected = list[tuple[str, int | None]]
CASES: list[tuple[str, Callable[[Builder], None], Expected]] = []
WEAK = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def case(*expected: tuple[str, int | None]) -> Callable[[Callable[[Builder], None]], None]:
    """Register a function that goes on from a good genesis, and what must be found then."""

    def register(make: Callable[[Builder], None]) -> None:
        CASES.append((make.__name__, make, sorted(expected)))

    return register


# -- section 1 and 2: lines and entries


@case(("line.framing", 1))
def blank_line_between(b: Builder) -> None:
    b.garbage(b"\n")
    b.add(prev="0" * 64)  # the prev behind an unframed line is not checked


@case(("line.framing", 1), ("line.framing", 2), ("line.framing", 3), ("chain.seq", 4))
def entries_missing_behind_unframed_lines(b: Builder) -> None:
    for _ in range(3):
        b.garbage()
    b.add(seq=6)


@case(("line.framing", 2))
def crlf(b: Builder) -> None:
    b.add()
    b.add()
    b.lines[2] = b.lines[2][:-1] + b"\r\n"


@case(("line.framing", 1))
def overlong_line(b: Builder) -> None:
    b.garbage(b'{"entry":{' + b"x" * 300_000 + b"\n")
    b.add(prev=None)


@case(("line.framing", 1), ("entry.json", 1))
def unreadable_last_line_without_lf(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{ }'))
    b.lines[-1] = b.lines[-1][:-1]


@case(("entry.json", 1), ("entry.hash", 1))
def unreadable_entry_with_another_hash(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{]}'), digest="0" * 64)
    b.add()


@case(("entry.json", 1), ("chain.prev", 2))
def prev_is_compared_with_the_hash_of_an_unreadable_entry(b: Builder) -> None:
    b.add(data="\ud800")
    b.add(prev="1" * 64)


@case(("entry.members", 1))
def unreadable_entry_says_nothing_of_its_chain(b: Builder) -> None:
    b.add(edit=('"subject":"run/1",', ""), prev="1" * 64, ledger="2" * 64, id="id-00000")
    b.seq = 2
    b.add()


@case(("entry.version", 1))
def newer_version_says_nothing_else(b: Builder) -> None:
    b.add(v=2, prev="1" * 64, digest="0" * 64, key=OTHER, more=1, seq=7)
    b.seq = 2
    b.add()


@case(("entry.version", 1))
def version_zero(b: Builder) -> None:
    b.add(v=0)


@case(("entry.members", 1))
def version_one_as_float(b: Builder) -> None:
    b.add(edit=('"v":1,', '"v":1.0,'))


@case(("entry.members", 1))
def version_true(b: Builder) -> None:
    b.add(v=True)


@case(("entry.members", 1))
def del_in_subject(b: Builder) -> None:
    b.add(subject="a\x7fb")


@case()
def c1_control_and_noncharacter_in_subject(b: Builder) -> None:
    b.add(subject="a\x85\ufffe")


@case(("entry.members", 1))
def escaped_slash_in_subject(b: Builder) -> None:
    b.add(edit=("run/1", r"run\/1"))


@case(("entry.members", 1))
def empty_id(b: Builder) -> None:
    b.add(id="")


@case(("entry.members", 1))
def space_in_id(b: Builder) -> None:
    b.add(id="a b")


@case(("entry.members", 1))
def data_is_a_list(b: Builder) -> None:
    b.add(data=[])


@case(("entry.members", 1))
def type_of_one_segment(b: Builder) -> None:
    b.add("gate", key=OWNER)


@case(("entry.json", 1))
def seq_beyond_the_safe_integers(b: Builder) -> None:
    b.add(edit=('"seq":1,', '"seq":9007199254740992,'))


@case()
def greatest_safe_integers(b: Builder) -> None:
    b.add(data={"a": 2**53 - 1, "b": -(2**53) + 1, "c": 1e-400})


@case(("entry.json", 1))
def integer_beyond_in_data(b: Builder) -> None:
    b.add(data={"a": -(2**53)})


@case(("entry.json", 1))
def minus_zero(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":-0}'))


@case()
def minus_zero_as_float(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":-0.0,"b":-0e1,"c":1e-400,"d":2E+5}'))


@case(("entry.json", 1))
def number_that_overflows(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":1e400}'))


@case()
def depth_64(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":' + "[" * 62 + "]" * 62 + "}"))


@case(("entry.json", 1))
def depth_65(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":' + "[" * 63 + "]" * 63 + "}"))


@case(("entry.json", 1))
def depth_without_end(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":' + "[" * 60_000 + "}"))


@case(("entry.json", 1))
def doubled_name_deep_inside(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":[{"b":1,"\u0062":2}]}'))


@case()
def same_name_in_two_objects(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":[{"b":1},{"b":2}],"b":{"a":{}}}'))


@case(("entry.json", 1))
def escaped_nul_in_data(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\u0000"}'))


@case()
def backslash_before_u0000(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\\u0000"}'))


@case(("entry.json", 1))
def lone_high_surrogate(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\ud83dx"}'))


@case()
def escaped_pair_of_surrogates(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\ud83d\ude00"}'))


@case(("entry.json", 1))
def tab_outside_strings(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{\t}'))


# -- section 3: the chain


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


# -- time


@case(("time.form", 1))
def february_30(b: Builder) -> None:
    b.add(time="2026-02-30T00:00:00.000000Z")


@case()
def leap_day(b: Builder) -> None:
    b.add(time="2028-02-29T23:59:59.999999Z")


@case(("time.form", 1))
def no_leap_day(b: Builder) -> None:
    b.add(time="2027-02-29T00:00:00.000000Z")


@case(("time.form", 1))
def year_zero(b: Builder) -> None:
    b.add(time="0000-01-01T00:00:00.000000Z")


@case(("time.form", 1))
def arabic_digits(b: Builder) -> None:
    b.add(time="٢٠٢٦-01-01T00:00:00.000000Z")


@case(("time.form", 2))
def malformed_time_is_no_measure_for_the_next(b: Builder) -> None:
    b.add(time="2026-01-01T00:00:01.000000Z")
    b.add(time="9999")
    b.add(time="2026-01-01T00:00:01.000000Z")


@case(("time.backward", 2))
def time_is_compared_with_the_one_before_not_the_latest(b: Builder) -> None:
    b.add(time="2026-01-01T00:00:09.000000Z")
    b.add(time="2026-01-01T00:00:05.000000Z")
    b.add(time="2026-01-01T00:00:06.000000Z")


@case(("entry.members", 1))
def time_of_an_unreadable_entry_does_not_count(b: Builder) -> None:
    b.add(time="2027-01-01T00:00:00.000000Z", subject=1)
    b.add()


# -- section 4: signatures and batches


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


# -- section 5: genesis


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


# -- compromised keys


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


@pytest.mark.parametrize(("make", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_ledger_has_exactly_these_findings(
    make: Callable[[Builder], None], expected: Expected, tmp_path: Path
) -> None:
    builder = Builder()
    make(builder)
    _, findings = read(builder.write(tmp_path / "l.jsonl"))
    assert codes(findings) == sorted(set(expected))


# -- entry 0 itself


GENESIS: list[tuple[str, dict[str, object], Expected]] = [
    ("no_keys", {"keys": []}, [("genesis.invalid", 0), ("key.unknown", 1)]),
    ("roles_are_a_list", {"roles": []}, [("genesis.invalid", 0), ("key.role", 0), ("key.role", 1)]),
    ("keys_are_an_object", {"keys": {}}, [("genesis.invalid", 0), ("key.unknown", 1)]),
    ("name_is_a_number", {"name": 1}, [("genesis.invalid", 0)]),
    ("upper_case_nonce", {"nonce": "A" * 32}, [("genesis.invalid", 0)]),
    ("longer_nonce", {"nonce": "a" * 65}, []),
    ("another_member", {"more": 1}, [("genesis.invalid", 0)]),
    (
        "owner_with_another_pattern",
        {"roles": {**ROLES, "owner": ["*", "x.*"]}},
        [("genesis.invalid", 0)],
    ),
    (
        "role_of_a_bad_pattern_is_no_role",
        {"roles": {**ROLES, "runner": ["x.gate.*", "gate*"]}},
        [("genesis.invalid", 0), ("key.role", 1)],
    ),
    (
        "two_keys_of_one_name",
        {"keys": [OWNER.given("n", ["owner"]), RUNNER.given("n", ["runner"])]},
        [("genesis.invalid", 0), ("key.unknown", 1)],
    ),
    (
        "key_with_roles_as_text",
        {"keys": [OWNER.given("o", ["owner"]), {**RUNNER.given("r", []), "roles": "runner"}]},
        [("genesis.invalid", 0), ("key.unknown", 1)],
    ),
    (
        "weak_key_beside_good_ones",
        {"keys": [OWNER.given("o", ["owner"]), RUNNER.given("r", ["runner"]),
                  {**OTHER.given("w", ["ghost"]), "public": WEAK}]},
        [("key.weak", 0)],
    ),
    (
        "exact_pattern",
        {"roles": {**ROLES, "runner": ["x.gate.checked"]}},
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("over", "expected"), [g[1:] for g in GENESIS], ids=[g[0] for g in GENESIS]
)
def test_a_genesis_with_other_data(
    over: dict[str, object], expected: Expected, tmp_path: Path
) -> None:
    builder = Builder(genesis=False)
    builder.genesis(data=builder.genesis_data(**over))
    builder.add()
    _, findings = read(builder.write(tmp_path / "l.jsonl"))
    assert codes(findings) == sorted(expected)


def genesis_findings(tmp_path: Path, builder: Builder) -> Expected:
    return codes(read(builder.write(tmp_path / "l.jsonl"))[1])


def test_a_genesis_by_a_stranger_is_genesis_invalid_alone(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    builder.genesis(OTHER)
    builder.add()
    assert genesis_findings(tmp_path, builder) == [("genesis.invalid", 0)]


def test_a_genesis_by_its_weak_key_is_key_weak_alone(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    weak = {**OTHER.given("w", ["owner"]), "public": WEAK}
    data = builder.genesis_data(keys=[weak, RUNNER.given("r", ["runner"])])
    key_id = hashlib.sha256(base64.b64decode(WEAK)).hexdigest()
    forged = bytes([1]) + bytes(63)
    builder.add("ledger.created", data, subject="", sig=forged, edit=(RUNNER.id, key_id))
    builder.add()
    assert genesis_findings(tmp_path, builder) == [("key.weak", 0)]


def test_an_unreadable_genesis_leaves_the_register_empty(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    builder.genesis(edit=('"name"', ' "name"'))
    builder.add()
    expected = [("entry.json", 0), ("genesis.invalid", 0), ("key.unknown", 1)]
    assert genesis_findings(tmp_path, builder) == expected


def test_a_genesis_of_another_version_is_entry_version_alone(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    builder.genesis(v=2)
    assert genesis_findings(tmp_path, builder) == [("entry.version", 0)]


def test_a_genesis_that_names_a_ledger_and_a_seq(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    builder.genesis(ledger="a" * 64, seq=3)
    expected = [("chain.ledger", 3), ("chain.seq", 0), ("genesis.invalid", 0)]
    assert genesis_findings(tmp_path, builder) == expected


def test_a_genesis_with_a_subject(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    builder.add("ledger.created", builder.genesis_data(), OWNER, subject="s")
    assert genesis_findings(tmp_path, builder) == [("genesis.invalid", 0)]


def test_a_lone_unsigned_genesis_is_a_torn_batch_too(tmp_path: Path) -> None:
    builder = Builder(genesis=False)
    builder.genesis(signed=False)
    assert genesis_findings(tmp_path, builder) == [("batch.torn", 0), ("genesis.invalid", 0)]


# -- batches at their limit


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


# -- what is read, findings apart


def test_an_unsigned_entry_with_an_error_behind_it_is_unvouched(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.add(signed=False, digest="0" * 64)
    builder.add(signed=False)
    builder.add()
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert reading.unvouched == (1,)


def test_a_run_whose_signature_is_bad_is_unvouched(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.add(signed=False)
    builder.add(sig=b"\x01" * 64)
    builder.add(signed=False)
    builder.add()
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert reading.unvouched == (1, 2)


def test_a_torn_batch_is_unvouched_and_a_torn_tail(tmp_path: Path) -> None:
    builder = Builder()
    builder.add()
    builder.add(signed=False)
    reading, findings = read(builder.write(tmp_path / "l.jsonl"))
    assert (reading.unvouched, reading.torn_tail) == ((2,), True)
    assert codes(findings) == [("batch.torn", 2)]


def test_every_cut_of_the_last_line_is_a_torn_tail(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(data={"text": 'é\\"', "n": [1.5e-7, -2, True, None, {"a": False}]})
    last = len(builder.lines[-1])
    for cut in range(1, last):
        path = tmp_path / "l.jsonl"
        path.write_bytes(builder.text[:-cut])
        reading, findings = read(path)
        assert reading.torn_tail, builder.text[:-cut][-80:]
        assert codes(findings) == [("line.framing", 1)]


@pytest.mark.parametrize("byte", [b"\x0b", b"}", b"\x00", b"\r"])
def test_a_flipped_last_lf_is_not_a_torn_tail(byte: bytes, tmp_path: Path) -> None:
    builder = Builder()
    builder.add()
    path = tmp_path / "l.jsonl"
    path.write_bytes(builder.text[:-1] + byte)
    reading, findings = read(path)
    assert not reading.torn_tail
    assert codes(findings) == [("line.framing", 1)]


@pytest.mark.parametrize(
    "tail",
    [
        b"x",
        b'{"entry":[',
        b'{"entry":{"v":x',
        b'{"entry":{"v":01',
        b'{"entry":{"a":"\xff',
        b'{"entry":{"a":"' + b"x" * 70_000,
        b'{"entry":{"a":1},"hush',
        b'{"entry":{"a":1}}',
        b'{"entry":{"a":' + b"[" * 70,
    ],
)
def test_what_no_line_begins_with_is_not_a_torn_tail(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(Builder().text + tail)
    reading, findings = read(path)
    assert not reading.torn_tail
    assert codes(findings) == [("line.framing", 1)]


def test_garbage_behind_a_torn_batch_is_no_torn_tail(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.garbage()
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert not reading.torn_tail


def test_a_witness_sees_every_readable_entry_in_order(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.garbage()
    builder.add(data="\ud800")
    builder.add(subject="run/é")
    book = Notebook()
    read(builder.write(tmp_path / "l.jsonl"), story=book)
    assert [(s[0], s[1], s[2], s[3]) for s in book.seen] == [
        (0, 1, "ledger.created", ""),
        (1, 2, "x.gate.checked", "run/1"),
        (4, 5, "x.gate.checked", "run/é"),
    ]
    assert book.seen[1][4:] == (RUNNER.id, builder.entries[1])


def test_time_backward_is_an_error_under_strict(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(time="2025-01-01T00:00:00.000000Z")
    path = builder.write(tmp_path / "l.jsonl")
    severities = [
        read(path, strict=s, ledger_id=builder.id)[1].items()[0].severity for s in (False, True)
    ]
    assert severities == ["warning", "error"]


def test_the_key_states_are_those_after_the_last_entry(tmp_path: Path) -> None:
    builder = Builder()
    extra = Signer(9)
    builder.authorize(extra, "extra", ["log", "runner"])
    builder.rotate(RUNNER, OTHER, "runner-2")
    builder.revoke(extra, 1)
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert [(k.name, k.roles, k.state) for k in reading.keys] == [
        ("owner", ("owner",), "active"),
        ("runner", ("runner",), "rotated"),
        ("extra", ("log", "runner"), "compromised"),
        ("runner-2", ("runner",), "active"),
    ]


def test_a_key_type_that_nobody_knows_is_refused_under_strict(tmp_path: Path) -> None:
    builder = Builder()
    builder.add("key.frobnicated", {}, OWNER)
    _, findings = read(builder.write(tmp_path / "l.jsonl"), strict=True, ledger_id=builder.id)
    assert codes(findings) == [("event.schema", 1)]
