"""Ed25519 as format.md sections 4 and 5 narrow it.

OpenSSL does the arithmetic of signatures. What it leaves open is decided here:
keys that are not points of prime order are refused, and so are signatures whose
``R`` has small order (libraries disagree on them).

Source: RFC 8032 sections 5.1.1 to 5.1.7.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from ledger.errors import KeyFileError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_SIGN_BIT = 1 << 255

# The y coordinates of the eight points of small order, and their encodings that are not reduced.
_Y8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset({0, 1, _Y8, _P - _Y8, _P - 1, _P, _P + 1})

_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T
_IDENTITY: _Point = (0, 1, 1, 0)


class WeakKeyError(KeyFileError):
    """A public key that is not the canonical encoding of a point of prime order."""


@lru_cache(maxsize=4096)
def check_public(public: bytes) -> None:
    """Refuse a public key under which signatures could be forged or disputed.

    Raises:
        WeakKeyError: Not 32 bytes, not canonical, off the curve, or not of prime order.
    """
    if len(public) != KEY_BYTES:
        raise WeakKeyError(f"a public key has {KEY_BYTES} bytes, found {len(public)}")
    point = _decode(public)
    if point is None:
        raise WeakKeyError("the public key is not the canonical encoding of a point of the curve")
    if _is_identity(point) or not _is_identity(_multiply(_L, point)):
        raise WeakKeyError("the public key does not have prime order: it is weak")


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether *signature* over *message* is valid under *public* (section 4).

    The key is taken as checked; ``check_public`` does that once a key.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import

    if len(signature) != SIGNATURE_BYTES:
        return False
    if int.from_bytes(signature[32:], "little") >= _L:
        return False
    if int.from_bytes(signature[:32], "little") & (_SIGN_BIT - 1) in _SMALL_ORDER_Y:
        return False
    try:
        _loaded(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=4096)
def _loaded(public: bytes) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - slow to import
        Ed25519PublicKey,
    )

    return Ed25519PublicKey.from_public_bytes(public)


def _decode(encoded: bytes) -> _Point | None:
    """Decode a point as RFC 8032 section 5.1.3 does, or return None."""
    value = int.from_bytes(encoded, "little")
    y, sign = value & (_SIGN_BIT - 1), value >> 255
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _add(first: _Point, second: _Point) -> _Point:
    """Add two points: the complete formulas of RFC 8032 section 5.1.4."""
    x1, y1, z1, t1 = first
    x2, y2, z2, t2 = second
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    result = _IDENTITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _is_identity(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _P == 0 and (y - z) % _P == 0
