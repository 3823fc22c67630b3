"""Which key an entry of the register is, for the projections that name signers."""

import base64
import hashlib

from ledger.events import Payload
from ledger.events.ledger_family import KeyAuthorized, KeyRotated, LedgerCreated


def key_id(public: str) -> str:
    """Return the key id of a public key in base64, which the payload models have checked."""
    return hashlib.sha256(base64.b64decode(public, validate=True)).hexdigest()


def learn_names(names: dict[str, str], payload: Payload | None) -> None:
    """Add the names that a key event gives; the first name of a key stays, as in the register.

    Whether the event had any effect is not judged here, so a name proves nothing:
    show the key id beside it.
    """
    if isinstance(payload, LedgerCreated):
        for record in payload.keys:
            names.setdefault(key_id(record.public), record.name)
    elif isinstance(payload, KeyAuthorized):
        names.setdefault(key_id(payload.public), payload.name)
    elif isinstance(payload, KeyRotated):
        names.setdefault(key_id(payload.by.public), payload.by.name)
