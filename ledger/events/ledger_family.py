"""``ledger.*``: the ledger itself. ``key.*``: who may sign. ``blob.*``: bytes outside the chain.

The key register (``ledger.register``) judges these events by rules that no
schema can express; the models here say only which members there are.
"""

from typing import Annotated, Literal

from pydantic import Field

from ledger.events.base import Base64Key, Count, Hex64, Payload, Text


class KeyRecord(Payload):
    """A public key as it enters the register."""

    alg: Literal["ed25519"]
    public: Base64Key
    name: str
    roles: list[str]


class Successor(Payload):
    """The key that takes over from a rotated one; it inherits the roles."""

    alg: Literal["ed25519"]
    public: Base64Key
    name: str


class LedgerCreated(Payload):
    """Entry 0: the first keys and the rules (format.md section 5)."""

    format: Literal["evidence-ledger/v1"]
    name: str
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32,}$")]
    roles: dict[str, list[str]]
    keys: list[KeyRecord]


class LedgerRecovered(Payload):
    """Torn bytes were moved from the end of the ledger to a side file (section 4).

    A crash can leave more torn entries than one entry can name, so the hashes
    come in ``parts`` events; ``entries`` and ``bytes`` count the whole tail.
    """

    side_file: Text
    sha256: Hex64
    bytes: Count
    entries: Count
    hashes: Annotated[list[Hex64], Field(max_length=800)]
    part: Annotated[int, Field(ge=1)]
    parts: Annotated[int, Field(ge=1)]


class KeyAuthorized(KeyRecord):
    """From the next entry on this key may sign."""


class KeyRotated(Payload):
    """From the next entry on ``by`` has the roles of ``key``, which may sign no more."""

    key: Hex64
    by: Successor


class KeyRevoked(Payload):
    """From the next entry on ``key`` may not sign; what it signed since
    ``compromised_since`` is reported.
    """

    key: Hex64
    reason: str
    compromised_since: Count | None = None


class BlobErased(Payload):
    """A blob was erased on purpose; the chain keeps its digest (section 8)."""

    sha256: Hex64
    reason: Text
