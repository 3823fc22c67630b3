"""Attacks through weak keys and bent signatures (``threats.md``, *Keys and time*)."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from curve import (
    FIELD,
    ORDER,
    TORSION,
    WEAK_KEYS,
    decode_point,
    encode_point,
    mixed_order,
    multiply_point,
)
from forge import (
    OWNER,
    RUNNER,
    STORES,
    VECTORS,
    WRAPPER,
    Forge,
    digest_of,
    entry_bytes,
    frame,
    new_book,
    verdict,
    walk,
)

from ledger import (
    Event,
    Ledger,
    LedgerError,
    MalformedError,
)
from ledger.ed25519 import WeakKeyError, check_public, verify

EDGE = json.loads((VECTORS / "c2sp" / "ed25519_edge.json").read_text())["cases"]


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner"), (WRAPPER, "wrapper")).close()
    return place


def note() -> Event:
    return Event("x.note", "", {})


def test_the_mixed_order_key_is_what_it_says_it_is() -> None:
    """8 L times it is nothing, L times it is not: a point of order 8 L."""
    point = decode_point(mixed_order(OWNER.public))
    assert multiply_point(ORDER, decode_point(OWNER.public)) == (0, 1)
    assert multiply_point(ORDER, point) != (0, 1)
    assert multiply_point(8 * ORDER, point) == (0, 1)
    assert multiply_point(8, decode_point(TORSION)) == (0, 1)


@pytest.mark.parametrize("name", sorted(WEAK_KEYS))
def test_a_weak_key_is_not_authorized(path: Path, name: str) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        size = book.size
        with pytest.raises(LedgerError):
            book.authorize(WEAK_KEYS[name], name="mallory", roles=["owner"])
        assert book.size == size
        book.append(note())
    assert len(walk(path)) == size + 1
    assert verdict(path).outcome == "VERIFIED"


@pytest.mark.parametrize("name", sorted(WEAK_KEYS))
def test_a_key_is_not_rotated_to_a_weak_one(path: Path, name: str) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        with pytest.raises(LedgerError):
            book.rotate(RUNNER.id, by=WEAK_KEYS[name], name="mallory")
        assert book.register.keys[RUNNER.id].state == "active"
        book.append(note())
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(note())
    assert verdict(path).outcome == "VERIFIED"


@pytest.mark.parametrize("name", sorted(WEAK_KEYS))
def test_a_writer_does_not_open_a_ledger_that_begins_with_a_weak_key(
    tmp_path: Path, name: str
) -> None:
    weak = WEAK_KEYS[name]
    record = {
        "alg": "ed25519",
        "public": base64.b64encode(weak).decode(),
        "name": "weak",
        "roles": ["owner"],
    }
    forge = Forge()
    forge.genesis(OWNER.record(["owner"]), record)
    path = forge.write(tmp_path / "book.jsonl")
    with pytest.raises(MalformedError):
        Ledger.open(path, key=OWNER.key)


@pytest.mark.parametrize("name", sorted(WEAK_KEYS))
def test_no_weak_key_passes_the_check(name: str) -> None:
    with pytest.raises(WeakKeyError):
        check_public(WEAK_KEYS[name])


def test_a_signature_forged_under_a_weak_key_would_verify_elsewhere() -> None:
    """Why the check exists: under the identity, R = identity and S = 0 fit every message."""
    identity = WEAK_KEYS["the identity"]
    forged = identity + bytes(32)
    assert verify(identity, forged, b"anything") is False  # R has small order
    scalar = 7
    base = decode_point(
        bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")
    )
    # R = S*B for a known S: with A the identity, S*B - k*A = R whatever the message is.
    signature = encode_point(multiply_point(scalar, base)) + scalar.to_bytes(32, "little")
    assert verify(identity, signature, b"any message at all")
    with pytest.raises(WeakKeyError):
        check_public(identity)


def test_a_malleated_signature_is_refused() -> None:
    message = b"edge"
    good = OWNER.private.sign(message)
    s = int.from_bytes(good[32:], "little")
    assert verify(OWNER.public, good, message)
    assert not verify(OWNER.public, good[:32] + (s + ORDER).to_bytes(32, "little"), message)


@pytest.mark.parametrize("name", [name for name, key in WEAK_KEYS.items() if len(key) == 32])
def test_a_signature_whose_r_has_small_order_is_refused(name: str) -> None:
    if name in ("mixed order", "off the curve", "not reduced, not small"):
        pytest.skip("not of small order")
    for sign in (0, 1 << 255):
        value = int.from_bytes(WEAK_KEYS[name], "little") & ~(1 << 255) | sign
        r = value.to_bytes(32, "little")
        k = int.from_bytes(hashlib.sha512(r + OWNER.public + b"m").digest(), "little") % ORDER
        s = k * _scalar(OWNER.seed) % ORDER  # S*B - k*A is the identity
        assert not verify(OWNER.public, r + s.to_bytes(32, "little"), b"m")


def _scalar(seed: bytes) -> int:
    value = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return value & ((1 << 254) - 8) | 1 << 254


@pytest.mark.parametrize("case", EDGE, ids=lambda case: case["why"])
def test_the_edge_cases_of_the_vectors_are_judged_as_listed(case: dict[str, Any]) -> None:
    public = bytes.fromhex(case["public_key"])
    signature, message = bytes.fromhex(case["signature"]), bytes.fromhex(case["message_hex"])
    try:
        check_public(public)
    except WeakKeyError:
        accepted = False
    else:
        accepted = verify(public, signature, message)
    assert accepted is case["must_accept"]


def test_an_r_that_is_not_reduced_is_refused() -> None:
    for y in range(2, 19):
        r = (FIELD + y).to_bytes(32, "little")
        assert not verify(OWNER.public, r + bytes(32), b"m")


def test_an_entry_whose_signature_covers_another_payload_type_is_refused(tmp_path: Path) -> None:
    forge = Forge()
    forge.genesis()
    raw = entry_bytes(
        v=1, ledger=forge.ledger, seq=1, prev=forge.prev, id="a",
        time="2026-01-15T10:00:00.000000Z", key=OWNER.id, signed=True, type="x.a",
        subject="", data={},
    )  # fmt: skip
    other = b"DSSEv1 16 application/json %d " % len(raw) + raw
    forge.lines.append(frame(raw, digest_of(raw), OWNER.private.sign(other)))
    path = forge.write(tmp_path / "book.jsonl")
    with pytest.raises(MalformedError):
        Ledger.open(path, key=OWNER.key)
