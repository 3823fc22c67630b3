"""Ed25519 as sections 4 and 5 narrow it. Attacks on it: ``tests/attacks/test_keys.py``."""

import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from curve import FIELD, ORDER, decode_point, encode_point, mixed_order, small_r_signatures
from forge import OWNER, RUNNER, signer

from ledger import ed25519
from ledger.ed25519 import WeakKeyError, check_public, verify
from ledger.errors import KeyFileError, LedgerError

# RFC 8032 section 7.1: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
            "6bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d"
            "8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6"
            "594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_hold(seed: str, public: str, message: str, signature: str) -> None:
    from ledger import Key

    key = Key.from_seed(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    check_public(key.public)
    assert verify(key.public, bytes.fromhex(signature), bytes.fromhex(message))


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    signature = OWNER.private.sign(b"message")
    for bit in range(512):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify(OWNER.public, bytes(flipped), b"message"), bit


def test_another_message_or_key_is_refused() -> None:
    signature = OWNER.private.sign(b"message")
    assert verify(OWNER.public, signature, b"message")
    assert not verify(OWNER.public, signature, b"Message")
    assert not verify(RUNNER.public, signature, b"message")


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    assert not verify(OWNER.public, (OWNER.private.sign(b"m") * 2)[:length], b"m")


def test_s_must_be_below_l() -> None:
    good = OWNER.private.sign(b"m")
    s = int.from_bytes(good[32:], "little")
    for other in (s + ORDER, ORDER, 2**256 - 1, 2**253 + s):
        assert not verify(OWNER.public, good[:32] + other.to_bytes(32, "little"), b"m")


def test_an_r_of_small_order_is_refused_though_the_equation_holds() -> None:
    """Under a mixed-order key each of the eight can be made; libraries disagree on them."""
    public = mixed_order(OWNER.public)
    for signature, message in small_r_signatures(OWNER):
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)  # OpenSSL takes it
        assert not verify(public, signature, message)


def test_honest_keys_of_every_kind_pass() -> None:
    for number in range(20):
        check_public(signer(f"key {number}").public)
    check_public(signer("key 1").public)  # remembered


def test_the_negative_of_an_honest_key_passes() -> None:
    """Its sign bit is the other one, and it has prime order too."""
    x, y = decode_point(OWNER.public)
    check_public(encode_point((FIELD - x, y)))


def test_about_half_of_all_strings_are_off_the_curve_and_most_others_weak() -> None:
    """One point in eight has prime order; a writer who takes any 32 bytes takes traps."""
    passed = 0
    for number in range(64):
        try:
            check_public(number.to_bytes(1, "big") + bytes(30) + b"\1")
        except WeakKeyError:
            continue
        passed += 1
    assert 0 <= passed < 32


def test_a_weak_key_is_an_error_that_callers_can_handle() -> None:
    assert issubclass(WeakKeyError, KeyFileError)
    assert issubclass(WeakKeyError, LedgerError)


def test_our_point_arithmetic_agrees_with_openssl() -> None:
    """Signing r by hand: R = r*B, with our multiplication, must verify under OpenSSL."""
    import hashlib

    base = ed25519._decode(bytes.fromhex("58" + "66" * 31))
    assert base is not None
    digest = bytearray(hashlib.sha512(OWNER.seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    scalar = int.from_bytes(digest, "little")
    r = secrets.randbelow(ORDER)
    x, y, z, _ = ed25519._multiply(r, base)
    inverse = pow(z, -1, FIELD)
    big_r = encode_point((x * inverse % FIELD, y * inverse % FIELD))
    k = int.from_bytes(hashlib.sha512(big_r + OWNER.public + b"m").digest(), "little") % ORDER
    s = (r + k * scalar) % ORDER
    assert verify(OWNER.public, big_r + s.to_bytes(32, "little"), b"m")
