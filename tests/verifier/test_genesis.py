"""Entry 0, made against section 5 of the page."""

import base64
import hashlib
from pathlib import Path

import pytest

from tests.verifier.builder import OTHER, OWNER, ROLES, RUNNER, WEAK, Builder, codes, read
from tests.verifier.cases import Expected

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
