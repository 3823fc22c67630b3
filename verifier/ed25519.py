"""Ed25519 as ``format.md`` sections 4 and 5 have it: which keys are sound, which signatures valid.

Libraries disagree about small-order and mixed-order keys, non-canonical encodings and
small-order ``R``. A key must decode canonically (RFC 8032 section 5.1.3) to a point of
prime order; a signature must have ``S < L`` and an ``R`` of no small order before OpenSSL
is asked. The arithmetic here is for public values only: it is not constant-time.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["SMALL_ORDER", "PublicKey", "is_weak"]

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_SIGN = 1 << 255
_KEY_SIZE, _SIG_SIZE = 32, 64

_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T; RFC 8032 section 5.1.4
_IDENTITY: _Point = (0, 1, 1, 0)


def _add(a: _Point, b: _Point) -> _Point:
    low = (a[1] - a[0]) * (b[1] - b[0]) % _P
    high = (a[1] + a[0]) * (b[1] + b[0]) % _P
    cross = 2 * a[3] * b[3] * _D % _P
    depth = 2 * a[2] * b[2] % _P
    e, f, g, h = high - low, depth - cross, depth + cross, high + low
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    total = _IDENTITY
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total


def _is_identity(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0


def _recover_x(y: int, sign: int) -> int | None:
    """Return the x of RFC 8032 section 5.1.3 steps 2 to 4, or None."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    return _P - x if x & 1 != sign else x


def _decode(encoded: bytes) -> _Point | None:
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (_SIGN - 1)
    if y >= _P:
        return None
    x = _recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


@lru_cache(maxsize=4096)
def is_weak(public: bytes) -> bool:
    """Tell whether 32 bytes are not a canonical encoding of a point of prime order L."""
    point = _decode(public)
    if point is None or _is_identity(point):
        return True
    return not _is_identity(_multiply(_L, point))


def _small_order() -> frozenset[bytes]:
    """Return every encoding, canonical or not, of the eight points of small order."""
    y8 = next(  # of order 8: L times a point of full order
        y
        for y in range(2, 99)
        if (x := _recover_x(y, 0)) is not None
        and not _is_identity(_multiply(4 * _L, (x, y, 1, x * y % _P)))
    )
    x8 = _recover_x(y8, 0)
    if x8 is None:
        raise AssertionError("chosen because it has an x")
    point = _multiply(_L, (x8, y8, 1, x8 * y8 % _P))
    found: set[bytes] = set()
    total = _IDENTITY
    for _ in range(8):
        y = total[1] * pow(total[2], -1, _P) % _P
        for value in (y, y + _P):
            if value < _SIGN:
                found |= {n.to_bytes(32, "little") for n in (value, value | _SIGN)}
        total = _add(total, point)
    return frozenset(found)


SMALL_ORDER = _small_order()


class PublicKey:
    """A sound public key, ready to check signatures with."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        """Take 32 bytes of which :func:`is_weak` said no."""
        self.raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    def accepts(self, signature: bytes, message: bytes) -> bool:
        """Tell whether *signature* over *message* is valid by format.md section 4."""
        if len(signature) != _SIG_SIZE or signature[:_KEY_SIZE] in SMALL_ORDER:
            return False
        if int.from_bytes(signature[_KEY_SIZE:], "little") >= _L:
            return False
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True
