"""The smallest pieces of the C2SP text formats: UTF-8, base64 and decimals, one way each.

Each value has exactly one text here. Python's own readers are more generous, and that
generosity is how two verifiers come to disagree about what was signed.

>>> decode_base64(b"bGVhZg==")
b'leaf'
>>> parse_decimal(b"7")
7
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final

from ledger.errors import MalformedError

MAX_DECIMAL: Final = 2**63 - 1
"""The largest size, index or time that C2SP lets anyone write."""

# Bytes, not str: int() would also read "+7", "1_0", " 7" and Arabic digits.
_DECIMAL: Final = re.compile(rb"0|[1-9][0-9]{0,18}")


def octets(text: str | bytes, limit: int, *, what: str) -> bytes:
    """Return *text* as valid UTF-8 of at most *limit* bytes.

    Raises:
        MalformedError: It is longer, or no text.
    """
    # A look at the length first: what is too long is not even encoded.
    if len(text) > limit:
        raise MalformedError(f"the {what} is longer than {limit} bytes")
    try:
        raw = text if isinstance(text, bytes) else text.encode()
        raw.decode()
    except UnicodeError as error:
        raise MalformedError(f"the {what} is not UTF-8") from error
    if len(raw) > limit:
        raise MalformedError(f"the {what} is longer than {limit} bytes")
    return raw


def encode_base64(raw: bytes) -> str:
    """Return the base64 of *raw*, with its padding (RFC 4648 section 4)."""
    return b64encode(raw).decode()


def decode_base64(text: bytes) -> bytes:
    """Return what *text*, in the one canonical base64 form, stands for.

    Raises:
        MalformedError: It is not base64, or another text stands for the same bytes.
    """
    try:
        raw = b64decode(text, validate=True)
    except Base64Error as error:
        raise MalformedError("not base64") from error
    # b64decode lets set trailing bits pass: two texts for one value.
    if b64encode(raw) != text:
        raise MalformedError("not the canonical base64 of its bytes")
    return raw


def parse_decimal(text: bytes) -> int:
    """Return the number that *text* writes in the one way there is.

    Raises:
        MalformedError: It is no plain decimal, or above 2^63-1.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_DECIMAL:
        raise MalformedError("not a plain decimal of at most 2^63-1")
    return int(text)
