"""Whom a policy believes, and which files are policies."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.merkle import leaf_hash
from ledger.note import (
    SignatureType,
    Signer,
    UntrustedNoteError,
    Verifier,
    add_signatures,
    cosign,
    format_vkey,
    parse_vkey,
    sign_note,
)
from ledger.policy import (
    MAX_POLICY_BYTES,
    Group,
    Log,
    Policy,
    Witness,
    format_policy,
    open_by_policy,
    parse_policy,
    reaches_quorum,
)

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


def test_the_policy_of_the_vectors_survives_a_round_trip() -> None:
    assert format_policy(POLICY).decode() == POLICY_TEXT
    assert [each.name for each in POLICY.witnesses] == ["w1", "w2"]
    assert POLICY.groups == (Group("g", 2, ("w1", "w2")),)


def test_the_cosigned_checkpoint_of_the_vectors_meets_its_policy() -> None:
    endorsement = open_by_policy(BY_SIZE[7]["cosigned_checkpoint"], POLICY)
    assert endorsement.checkpoint == checkpoint_at(7)
    assert endorsement.witnesses == ("w1", "w2")
    assert [each.time for each in endorsement.note.verified] == [None, 1700000007, 1700000107]


def test_too_few_cosignatures_are_not_the_quorum() -> None:
    with pytest.raises(UntrustedNoteError, match="quorum") as caught:
        open_by_policy(BY_SIZE[7]["signed_checkpoint"], POLICY)
    assert caught.value.note.text == BY_SIZE[7]["body"]


def test_one_witness_that_signs_twice_counts_once() -> None:
    policy = two_of_three()
    body = BY_SIZE[7]["body"]
    twice = [cosign(body, COSIGNERS[0], time=time) for time in (1, 2)]
    with pytest.raises(UntrustedNoteError, match="quorum"):
        open_by_policy(add_signatures(sign_note(body, [LOG]), twice), policy)
    other = cosign(body, COSIGNERS[2], time=3)
    opened = open_by_policy(add_signatures(sign_note(body, [LOG]), [*twice, other]), policy)
    assert opened.witnesses == ("A", "C")


def two_of_three() -> Policy:
    witnesses = tuple(
        Witness(name, each.verifier) for name, each in zip("ABC", COSIGNERS, strict=False)
    )
    group = Group("some", 2, ("A", "B", "C"))
    return Policy((Log(LOG.verifier),), witnesses, (group,), "some")


def test_witnesses_cannot_stand_in_for_the_log() -> None:
    body = BY_SIZE[7]["body"]
    stranger = sign_note(body, [signer_of(9, "ledger.example/demo")])
    note = add_signatures(stranger, [cosign(body, each, time=1) for each in COSIGNERS])
    with pytest.raises(UntrustedNoteError, match="no log"):
        open_by_policy(note, two_of_three())


def test_one_listed_log_cannot_speak_for_another() -> None:
    other = signer_of(9, "other.example/log")
    policy = Policy((Log(LOG.verifier), Log(other.verifier)))
    with pytest.raises(UntrustedNoteError, match="no log"):
        open_by_policy(sign_note(BY_SIZE[7]["body"], [other]), policy)
    opened = open_by_policy(sign_note(BY_SIZE[7]["body"], [other, LOG]), policy)
    assert opened.witnesses == ()


def test_a_policy_without_logs_accepts_nothing() -> None:
    with pytest.raises(MisuseError, match="without logs"):
        open_by_policy(BY_SIZE[7]["signed_checkpoint"], Policy(()))


def test_nested_groups_are_counted_as_the_specification_s_example_says() -> None:
    names = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
    lines = [
        f"witness {name} {format_vkey(each.verifier)}"
        for name, each in zip(names, COSIGNERS, strict=True)
    ]
    text = "\n".join(
        (
            f"  log\t{format_vkey(LOG.verifier)} https://log.example  ",
            "# a comment",
            " \t",
            *lines,
            "group X-witnesses 2 X1 X2 X3",
            "group Y-witnesses any Y1 Y2 Y3",
            "group X-and-Y all X-witnesses Y-witnesses",
            "quorum X-and-Y",
            "",
        )
    )
    policy = parse_policy(text)
    assert policy.logs[0].url == "https://log.example"
    assert parse_policy(format_policy(policy)) == policy
    assert reaches_quorum(policy, ["X1", "X3", "Y2"])
    assert not reaches_quorum(policy, ["X1", "Y1", "Y2", "Y3"])
    assert not reaches_quorum(policy, ["X1", "X2", "X3"])
    # Names of groups, or of strangers, cannot be handed in as if they had cosigned.
    assert not reaches_quorum(policy, ["X-and-Y", "X-witnesses", "Z"])
    assert reaches_quorum(Policy(()), [])


VKEYS = [format_vkey(each.verifier) for each in COSIGNERS]
LOG_VKEY = format_vkey(LOG.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "quorum none",
        "quorum none\nquorum none\n",
        "quorum missing\n",
        "quorum\n",
        "quorum a b\n",
        "nonsense\nquorum none\n",
        "quorum\u00a0none\n",
        "quorum none\r\n",
        "quorum none\0\n",
        "quorum none\x7f\n",
        f"log {VKEYS[0]}\nquorum none\n",
        f"witness a {LOG_VKEY}\nquorum a\n",
        f"witness none {VKEYS[0]}\nquorum none\n",
        "log bad\nquorum none\n",
        f"log {LOG_VKEY} u v\nquorum none\n",
        f"log {LOG_VKEY}\nlog {LOG_VKEY}\nquorum none\n",
        f"witness a {VKEYS[0]}\nwitness b {VKEYS[0]}\nquorum none\n",
        f"witness a {VKEYS[0]}\nwitness a {VKEYS[1]}\nquorum a\n",
        f"witness a {VKEYS[0]}\ngroup a any a\nquorum a\n",
        f"group g any a\nwitness a {VKEYS[0]}\nquorum g\n",
        f"quorum a\nwitness a {VKEYS[0]}\n",
        f"witness a {VKEYS[0]}\ngroup g any g\nquorum g\n",
        f"witness a {VKEYS[0]}\ngroup g any none\nquorum g\n",
        f"witness a {VKEYS[0]}\ngroup g any\nquorum a\n",
        f"witness a {VKEYS[0]}\ngroup g any a a\nquorum g\n",
        f"witness a {VKEYS[0]}\ngroup g any a\ngroup h any a\nquorum g\n",
        *(
            f"witness a {VKEYS[0]}\ngroup g {threshold} a\nquorum g\n"
            for threshold in ("0", "2", "01", "-1", "+1", "some", "1.0", "\u0661")
        ),
        "#" * (MAX_POLICY_BYTES + 1),
    ],
)
def test_a_file_that_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(LedgerError):
        parse_policy(text)
    with pytest.raises(LedgerError):
        parse_policy(text.encode())


def test_one_witness_under_two_names_is_refused_by_its_key() -> None:
    """The same key would be counted twice; name and id differ, the key does not."""
    first = COSIGNERS[0].verifier
    second = Verifier("other.example", first.public, SignatureType.COSIGNATURE)
    text = f"witness a {format_vkey(first)}\nwitness b {format_vkey(second)}\nquorum a\n"
    with pytest.raises(MalformedError, match="twice"):
        parse_policy(text)


def test_names_are_opaque_octets() -> None:
    key = VKEYS[0].encode()
    raw = b"witness \xff\xfe " + key + b"\nwitness \xe2\x84\xaa " + VKEYS[1].encode()
    raw += (
        b"\nwitness K " + VKEYS[2].encode() + b"\ngroup g all \xff\xfe \xe2\x84\xaa K\nquorum g\n"
    )
    policy = parse_policy(raw)
    assert format_policy(policy) == raw
    assert len({each.name for each in policy.witnesses}) == 3


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\ud800", "\udcc3\udca4", "none"])
def test_a_policy_that_cannot_be_written_cannot_be_made(name: str) -> None:
    with pytest.raises(MisuseError):
        Policy((), (Witness(name, COSIGNERS[0].verifier),))
    with pytest.raises(MisuseError):
        Policy((), (), (Group("g", 1, ("absent",)),))
    with pytest.raises(MisuseError):
        Policy((), quorum="absent")


def test_a_policy_of_the_size_that_c2sp_asks_for_is_read() -> None:
    logs = [signer_of(100 + n, f"log{n}.example").verifier for n in range(32)]
    cosigners = [
        signer_of(150 + n, f"w{n}.example", SignatureType.COSIGNATURE).verifier for n in range(32)
    ]
    lines = [f"log {format_vkey(each)}" for each in logs]
    lines += [f"witness w{n} {format_vkey(each)}" for n, each in enumerate(cosigners)]
    lines += [f"group g{n} any w{n}" for n in range(31)]
    lines += ["group g31 16 " + " ".join(f"g{n}" for n in range(31)), "quorum g31", ""]
    policy = parse_policy("\n".join(lines))
    assert reaches_quorum(policy, [f"w{n}" for n in range(16)])
    assert not reaches_quorum(policy, [f"w{n}" for n in range(15)])
