"""Signed, hash-chained evidence: write it, link it, prove it.

What a program needs is here; the bytes are described in ``docs/reference/format.md``.
Verification is not here on purpose: it lives in ``verifier``, which shares no code
with this package.
"""

from ledger.entry import Entry, Event, Head
from ledger.errors import (
    BrokenLinkError,
    ConflictError,
    KeyFileError,
    KeyRefusedError,
    LedgerError,
    LockedError,
    MalformedError,
    MisuseError,
    OversizeError,
    StoreError,
)
from ledger.keyfile import Key
from ledger.ledger import Ledger
from ledger.recorder import Recorder
from ledger.roles import DEFAULT_ROLES
from ledger.strictjson import number
from ledger.writer import Receipt

__all__ = [
    "DEFAULT_ROLES",
    "BrokenLinkError",
    "ConflictError",
    "Entry",
    "Event",
    "Head",
    "Key",
    "KeyFileError",
    "KeyRefusedError",
    "Ledger",
    "LedgerError",
    "LockedError",
    "MalformedError",
    "MisuseError",
    "OversizeError",
    "Receipt",
    "Recorder",
    "StoreError",
    "number",
]
