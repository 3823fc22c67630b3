"""A few lines of curve arithmetic, to make the keys and signatures that an attacker would offer."""

import hashlib

from forge import OWNER, Signer

ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19
EDWARDS_D = -121665 * pow(121666, -1, FIELD) % FIELD
TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
"""The encoding of a point of order 8, a public constant of the curve."""


def decode_point(encoded: bytes) -> tuple[int, int]:
    value = int.from_bytes(encoded, "little")
    y, sign = value & ((1 << 255) - 1), value >> 255
    square = (y * y - 1) * pow(EDWARDS_D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert (x * x - square) % FIELD == 0
    return (FIELD - x if x & 1 != sign else x), y


def encode_point(point: tuple[int, int]) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add_points(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, other
    cross = EDWARDS_D * x1 * x2 * y1 * y2 % FIELD
    x3 = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, FIELD) % FIELD
    y3 = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, FIELD) % FIELD
    return x3, y3


def mixed_order(public: bytes) -> bytes:
    """A key of order 8L: an honest public key plus a point of order 8."""
    return encode_point(add_points(decode_point(public), decode_point(TORSION)))


def multiply_point(times: int, point: tuple[int, int]) -> tuple[int, int]:
    """Scalar multiplication by double and add."""
    result = (0, 1)
    while times:
        if times & 1:
            result = add_points(result, point)
        point, times = add_points(point, point), times >> 1
    return result


def small_r_signatures(signer: Signer) -> list[tuple[bytes, bytes]]:
    """Signatures (and messages) under ``mixed_order(signer.public)`` whose R has small order.

    With A' = A + T, of which T has order 8: S = k*a gives S*B - k*A' = -k*T. That is
    one of eight points, so one message in eight meets the R that k was made from.
    """
    public = mixed_order(signer.public)
    half = hashlib.sha512(signer.seed).digest()[:32]
    scalar = int.from_bytes(half, "little") & ((1 << 254) - 8) | 1 << 254
    made = []
    for order in range(8):
        r = encode_point(multiply_point(order, decode_point(TORSION)))
        for number in range(200):
            message = b"message %d" % number
            k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % ORDER
            if encode_point(multiply_point(-k % 8, decode_point(TORSION))) == r:
                made.append((r + (k * scalar % ORDER).to_bytes(32, "little"), message))
                break
    assert len(made) == 8
    return made


WEAK_KEYS = {
    "the identity": (1).to_bytes(32, "little"),
    "order 2": (FIELD - 1).to_bytes(32, "little"),
    "order 4": (0).to_bytes(32, "little"),
    "order 4 with a sign": (1 << 255).to_bytes(32, "little"),
    "order 8": TORSION,
    "the identity, not reduced": (FIELD + 1).to_bytes(32, "little"),
    "order 4, not reduced": FIELD.to_bytes(32, "little"),
    "minus zero": (1 | 1 << 255).to_bytes(32, "little"),
    "not reduced, not small": (FIELD + 3).to_bytes(32, "little"),
    "off the curve": (2).to_bytes(32, "little"),
    "mixed order": mixed_order(OWNER.public),
    "31 bytes": OWNER.public[:31],
    "33 bytes": OWNER.public + b"\0",
    "no bytes": b"",
}
