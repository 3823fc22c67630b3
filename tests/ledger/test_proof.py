"""Proof files: the vector, every flipped byte, and what must not be trusted."""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.merkle import leaf_hash
from ledger.note import UntrustedNoteError, parse_vkey
from ledger.policy import Log, Policy, parse_policy
from ledger.proof import (
    MAX_EXTRA_BYTES,
    MAX_HASHES,
    MAX_PROOF_BYTES,
    Proof,
    check_proof,
    format_proof,
    parse_proof,
)

C2SP = Path(__file__).parents[1] / "vectors" / "c2sp"
VECTORS = json.loads((C2SP / "witness_and_proof.json").read_text())
NOTES = json.loads((C2SP / "notes.json").read_text())
PROOF = VECTORS["tlog_proof"]
POLICY = parse_policy(VECTORS["tlog_policy"])
LEAF = leaf_hash(VECTORS["tlog_proof_leaf_utf8"].encode())
CHECKPOINT = NOTES["checkpoints"][4]["signed_checkpoint"]


def test_the_proof_of_the_vectors_holds() -> None:
    proof = parse_proof(PROOF)
    assert format_proof(proof) == PROOF
    endorsement = check_proof(proof, LEAF, policy=POLICY)
    assert endorsement.checkpoint.size == 7
    assert endorsement.witnesses == ("w1", "w2")


def test_extra_data_is_carried_and_changes_nothing() -> None:
    proof = parse_proof(VECTORS["tlog_proof_with_extra"].encode())
    assert proof.extra == b"context"
    assert format_proof(proof) == VECTORS["tlog_proof_with_extra"]
    plain = check_proof(parse_proof(PROOF), LEAF, policy=POLICY)
    assert check_proof(proof, LEAF, policy=POLICY) == plain


def test_no_changed_byte_of_a_proof_goes_unnoticed() -> None:
    raw = PROOF.encode()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << place % 8
        with pytest.raises(LedgerError):
            check_proof(parse_proof(bytes(changed)), LEAF, policy=POLICY)


def test_another_entry_is_not_proved() -> None:
    with pytest.raises(MalformedError, match="root"):
        check_proof(parse_proof(PROOF), leaf_hash(b"leaf-4"), policy=POLICY)


def test_a_stranger_s_log_proves_nothing() -> None:
    stranger = Policy(logs=(Log(parse_vkey(NOTES["keys"]["log_rotated"]["vkey"])),))
    with pytest.raises(UntrustedNoteError):
        check_proof(parse_proof(PROOF), LEAF, policy=stranger)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=5),
    st.none() | st.binary(min_size=1),
)
def test_proofs_survive_a_round_trip(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = Proof(index, tuple(hashes), CHECKPOINT, extra)
    assert parse_proof(format_proof(proof)) == proof


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tlog-proof@v1", "tlog-proof@v2"),
        ("index 3", "index 03"),
        ("index 3", "index  3"),
        ("index 3", "index +3"),
        ("index 3", "index 9223372036854775808"),
        ("index 3", "Index 3"),
        ("index 3\n", ""),
        ("index 3", "extra Y29udGV4dA\nindex 3"),
        ("index 3", "extra \nindex 3"),
        ("index 3", "extra AA==\nextra AA==\nindex 3"),
        ("index 3", "index 3\nAAAA"),
        ("index 3", "index 3" + "\n/KifV8n4yOtAR6f/nTM6z54PM4SyCyVbzqsPIW3Momc=" * 63),
        ("\n\nledger", "\nledger"),
        ("\n\nledger", "\n\n\nledger"),
        ("\n\n—", "\n—"),
    ],
)
def test_another_form_of_a_proof_is_refused(before: str, after: str) -> None:
    assert before in PROOF
    with pytest.raises(LedgerError):
        check_proof(parse_proof(PROOF.replace(before, after)), LEAF, policy=POLICY)


def test_a_proof_that_cannot_be_written_cannot_be_made() -> None:
    for index, hashes, extra in (
        (-1, (), None),
        (2**63, (), None),
        (0, (b"short",), None),
        (0, (bytes(32),) * (MAX_HASHES + 1), None),
        (0, (), b""),
        (0, (), bytes(MAX_EXTRA_BYTES + 1)),
    ):
        with pytest.raises(MisuseError):
            Proof(index, hashes, CHECKPOINT, extra)
    with pytest.raises(MalformedError):
        Proof(0, (), "no note")


def test_a_proof_has_a_limit() -> None:
    with pytest.raises(MalformedError, match="longer"):
        parse_proof(b"c" * (MAX_PROOF_BYTES + 1))


def test_nothing_but_ledger_errors_leaves_the_parser() -> None:
    source = random.Random(11)  # noqa: S311 - reproducible, not secret
    for _ in range(2000):
        mutant = bytearray(VECTORS["tlog_proof_with_extra"].encode())
        for _ in range(source.randint(1, 4)):
            place = source.randrange(len(mutant))
            if source.random() < 0.5:
                mutant[place] = source.randrange(256)
            else:
                del mutant[place : place + source.randint(1, 60)]
        with suppress(LedgerError):
            check_proof(parse_proof(bytes(mutant)), LEAF, policy=POLICY)
