"""Make the rows of one batch: numbered, linked, stamped, and signed once (section 4).

Pure: the ledger's state, the ids, the time and the key come in; rows go out.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ledger.entry import MAX_RUN, build_entry, pae
from ledger.keyfile import Key
from ledger.stores.base import NewRow


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch goes: behind which entry of which ledger."""

    ledger: str
    size: int
    prev: str


class Draft(NamedTuple):
    """An event whose payload has been encoded and checked, on its way into a batch."""

    type: str
    subject: str
    data: bytes
    id: str | None


def build_batch(
    place: Place, drafts: Sequence[Draft], *, ids: Sequence[str], time: str, key: Key
) -> list[NewRow]:
    """Return the rows of *drafts*, the last of which is signed and vouches for the others.

    *ids* serve the drafts that bring none. Key events are signed themselves, and a
    run is cut at its greatest length.

    Raises:
        OversizeError: Some entry would not fit.
    """
    rows = []
    sha256, key_id, ledger = hashlib.sha256, key.id, place.ledger
    seq, prev, last = place.size, place.prev, place.size + len(drafts) - 1
    for (event_type, subject, data, own_id), new_id in zip(drafts, ids, strict=True):
        event_id = own_id or new_id
        signed = (
            seq == last or (seq - place.size + 1) % MAX_RUN == 0 or event_type.startswith("key.")
        )
        raw = build_entry(
            ledger=ledger,
            seq=seq,
            prev=prev,
            event_id=event_id,
            time=time,
            key=key_id,
            signed=signed,
            event_type=event_type,
            subject=subject,
            data=data,
        )
        digest = sha256(b"\0" + raw).digest()
        signature = key.sign(pae(raw)) if signed else None
        rows.append(NewRow(seq, raw, digest, signature, event_id, time, event_type, subject))
        seq, prev = seq + 1, digest.hex()
    return rows
