"""What a log and a witness say to each other, and when the witness signs."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.merkle import leaf_hash, prove_consistency, root_of
from ledger.note import (
    Signature,
    SignatureType,
    Signer,
    Verifier,
    add_signatures,
    open_note,
    parse_vkey,
    sign_note,
)
from ledger.policy import (
    parse_policy,
)
from ledger.witness import (
    MAX_PROOF_HASHES,
    SIZE_CONTENT_TYPE,
    AddCheckpoint,
    Status,
    format_request,
    format_response,
    format_size,
    judge_request,
    parse_request,
    parse_response,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

C2SP = Path(__file__).parents[1] / "vectors" / "c2sp"
VECTORS = json.loads((C2SP / "witness_and_proof.json").read_text())
NOTES = json.loads((C2SP / "notes.json").read_text())
REQUEST = VECTORS["add_checkpoint_request"]
POLICY_TEXT = VECTORS["tlog_policy"]
POLICY = parse_policy(POLICY_TEXT)
LEAVES = [leaf_hash(b"leaf-%d" % index) for index in range(10)]
BY_SIZE = {case["size"]: case for case in NOTES["checkpoints"]}


def signer_of(seed: int, name: str, kind: SignatureType = SignatureType.ED25519) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return Signer(Verifier(name, private.public_key().public_bytes_raw(), kind), private.sign)


LOG_SEED = bytes.fromhex(NOTES["keys"]["log"]["seed"])
LOG = Signer(
    parse_vkey(NOTES["keys"]["log"]["vkey"]), Ed25519PrivateKey.from_private_bytes(LOG_SEED).sign
)
COSIGNERS = [signer_of(40 + n, f"w{n}.example", SignatureType.COSIGNATURE) for n in range(6)]


def checkpoint_at(size: int) -> Checkpoint:
    return parse_checkpoint(BY_SIZE[size]["body"])


def test_the_request_of_the_vectors_survives_a_round_trip() -> None:
    request = parse_request(REQUEST)
    assert request.old == 3
    assert request.proof == prove_consistency(LEAVES, 3, second=7)
    assert request.checkpoint == BY_SIZE[7]["signed_checkpoint"]
    assert format_request(request) == REQUEST


def test_the_response_of_the_vectors_is_a_cosignature_of_the_request() -> None:
    granted = parse_response(VECTORS["add_checkpoint_response_200"])
    assert format_response(granted) == VECTORS["add_checkpoint_response_200"]
    note = add_signatures(parse_request(REQUEST).checkpoint, granted)
    assert [each.time for each in open_note(note, POLICY.verifiers).verified] == [None, 1700000007]


def test_the_conflict_reply_of_the_vectors_survives_a_round_trip() -> None:
    conflict = VECTORS["conflict_409"]
    assert conflict["content_type"] == SIZE_CONTENT_TYPE
    assert parse_size(conflict["body"]) == 3
    assert format_size(3) == conflict["body"]


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_requests_survive_a_round_trip(old: int, proof: list[bytes]) -> None:
    request = AddCheckpoint(old, tuple(proof), BY_SIZE[7]["signed_checkpoint"])
    assert parse_request(format_request(request)) == request


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("old 3", "old 03"),
        ("old 3", "old  3"),
        ("old 3", "new 3"),
        ("old 3", "old 9223372036854775808"),
        ("old 3", "old 3\nAAAA"),
        ("old 3", "old 3\n/KifV8n4yOtAR6f/nTM6z54PM4SyCyVbzqsPIW3Momd="),
        ("old 3", "old 3" + "\n/KifV8n4yOtAR6f/nTM6z54PM4SyCyVbzqsPIW3Momc=" * 60),
        ("\n\n—", "\n—"),
        ("\n\nledger", "\nledger"),
    ],
)
def test_another_form_of_a_request_is_refused(before: str, after: str) -> None:
    assert before in REQUEST
    with pytest.raises(MalformedError):
        parse_request(REQUEST.replace(before, after))


@pytest.mark.parametrize("body", ["", "\n", "x\n", VECTORS["add_checkpoint_response_200"][:-1]])
def test_a_response_without_signature_lines_is_refused(body: str) -> None:
    with pytest.raises(MalformedError):
        parse_response(body)


def test_messages_have_limits() -> None:
    line = Signature("n", bytes(4), b"s")
    with pytest.raises(MalformedError):
        parse_response(format_response([line]) * 101)
    for count in (0, 101):
        with pytest.raises(MisuseError):
            format_response([line] * count)
    for size in (-1, 2**63):
        with pytest.raises(MisuseError):
            format_size(size)
    note = BY_SIZE[7]["signed_checkpoint"]
    proofs = ((bytes(31),), (bytes(32),) * (MAX_PROOF_HASHES + 1))
    for old, proof in ((-1, ()), (2**63, ()), (0, proofs[0]), (0, proofs[1])):
        with pytest.raises(MisuseError):
            AddCheckpoint(old, proof, note)
    with pytest.raises(MalformedError):
        AddCheckpoint(0, (), "no note")


@pytest.mark.parametrize("body", ["3", "03\n", "3\n\n", " 3\n", "\n", "3" * 40])
def test_a_size_has_one_form(body: str) -> None:
    with pytest.raises(MalformedError):
        parse_size(body)


def test_nothing_but_ledger_errors_leaves_the_parsers() -> None:
    source = random.Random(5)  # noqa: S311 - reproducible, not secret
    parsers: list[tuple[str, Callable[[bytes], object]]] = [
        (REQUEST, parse_request),
        (VECTORS["add_checkpoint_response_200"], parse_response),
        ("1234567\n", parse_size),
        (POLICY_TEXT, parse_policy),
    ]
    for _ in range(1500):
        seed, parser = source.choice(parsers)
        mutant = bytearray(seed.encode())
        for _ in range(source.randint(1, 4)):
            place = source.randrange(len(mutant) + 1)
            mutant[place : place + source.randrange(3)] = source.choice(
                [b"", b"\n", b" ", b"\xff", b"\n\n", b"A", b"+", b"group g any w1\n"]
            )
        with suppress(LedgerError):
            parser(bytes(mutant))


def judge(request: str, latest: Checkpoint | None, log: Verifier = LOG.verifier) -> Status:
    return judge_request(parse_request(request), [log], latest=latest).status


def request_of(old: int, new: int, *, body: str | None = None) -> str:
    note = sign_note(body or BY_SIZE[new]["body"], [LOG])
    return format_request(AddCheckpoint(old, prove_consistency(LEAVES, old, second=new), note))


def test_a_tree_that_grew_is_cosigned() -> None:
    judgement = judge_request(parse_request(REQUEST), [LOG.verifier], latest=checkpoint_at(3))
    assert judgement.status is Status.COSIGN
    assert judgement.checkpoint == checkpoint_at(7)
    assert judge(request_of(0, 7), None) is Status.COSIGN
    assert judge(request_of(7, 7), checkpoint_at(7)) is Status.COSIGN


def test_another_old_size_than_the_latest_is_a_conflict() -> None:
    assert judge(REQUEST, None) is Status.CONFLICT
    assert judge(REQUEST, checkpoint_at(2)) is Status.CONFLICT
    assert judge(REQUEST, checkpoint_at(7)) is Status.CONFLICT


def test_a_fork_is_not_cosigned() -> None:
    fork = format_checkpoint(Checkpoint("ledger.example/demo", 7, root_of(LEAVES[1:8])))
    assert judge(request_of(3, 7, body=fork), checkpoint_at(3)) is Status.INCONSISTENT
    same_size = AddCheckpoint(7, (), sign_note(fork, [LOG]))
    assert judge(format_request(same_size), checkpoint_at(7)) is Status.INCONSISTENT


def test_a_rollback_is_not_cosigned() -> None:
    rollback = AddCheckpoint(7, (), BY_SIZE[3]["signed_checkpoint"])
    assert judge(format_request(rollback), checkpoint_at(7)) is Status.BAD_REQUEST


def test_a_log_is_known_by_its_origin_and_its_key() -> None:
    elsewhere = Verifier("other.example/log", LOG.verifier.public)
    assert judge(REQUEST, None, elsewhere) is Status.UNKNOWN_LOG
    stranger = signer_of(9, "ledger.example/demo").verifier
    assert judge(REQUEST, checkpoint_at(3), stranger) is Status.FORBIDDEN
    broken = REQUEST.replace("7\nCwB", "7\nDwB")
    assert judge(broken, checkpoint_at(3)) is Status.FORBIDDEN


def test_a_note_that_is_no_checkpoint_is_a_bad_request() -> None:
    note = AddCheckpoint(0, (), sign_note("hello\n", [LOG]))
    assert judge(format_request(note), None) is Status.BAD_REQUEST


def test_a_witness_must_look_up_the_right_log() -> None:
    other = Checkpoint("other.example/log", 3, bytes(32))
    with pytest.raises(MisuseError):
        judge_request(parse_request(REQUEST), [LOG.verifier], latest=other)
