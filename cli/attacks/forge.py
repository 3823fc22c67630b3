"""The attacker's tools: lines taken apart, changed, hashed anew, and signed with keys they have."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.entry import Entry, build_entry, entry_hash, frame_line, pae, parse_entry, parse_line
from ledger.keyfile import Key
from ledger.replay import Row
from ledger.strictjson import encode


class Draft(NamedTuple):
    """An entry to forge; the rest follows from where it is put."""

    type: str
    data: dict[str, Any]
    key: Key
    time: str = ""
    subject: str = "run/forged"


def rows_of(lines: Sequence[bytes]) -> list[Row]:
    """Take lines apart."""
    return [parse_line(line[:-1]) for line in lines]


def lines_of(rows: Sequence[Row]) -> list[bytes]:
    """Put rows together."""
    return [frame_line(*row) for row in rows]


def entry_of(row: Row) -> Entry:
    """Read a row."""
    return parse_entry(row[0], row[2])


def rehashed(raw: bytes, signature: bytes | None) -> Row:
    """Return the row of changed bytes with the hash that they have now."""
    return raw, entry_hash(raw), signature


def relink(rows: Sequence[Row], start: int, *, signer: Key | None = None) -> list[Row]:
    """Make the chain whole again from *start* on; with *signer*, under another key's signatures."""
    made = list(rows[:start])
    for row in rows[start:]:
        raw = _linked(row[0], made[-1][1].hex() if made else None)
        signature = row[2]
        if signer is not None:
            raw = raw.replace(entry_of(row).key.encode(), signer.id.encode(), 1)
            signature = None if signature is None else signer.sign(pae(raw))
        made.append(rehashed(raw, signature))
    return made


def append(rows: Sequence[Row], drafts: Sequence[Draft], *, sign: bool = True) -> list[Row]:
    """Append well-linked entries; each is signed with the key that it names, or none is."""
    made = list(rows)
    for draft in drafts:
        last = entry_of(made[-1])
        raw = build_entry(
            ledger=last.ledger or last.hash,
            seq=last.seq + 1,
            prev=last.hash,
            event_id=f"forged-{last.seq + 1}",
            time=draft.time or last.time,
            key=draft.key.id,
            signed=sign,
            event_type=draft.type,
            subject="" if draft.type.startswith("key.") else draft.subject,
            data=encode(draft.data),
        )
        made.append(rehashed(raw, draft.key.sign(pae(raw)) if sign else None))
    return made


def with_data(raw: bytes, old: bytes, new: bytes) -> bytes:
    """Return an entry in whose payload *old* stands as *new*."""
    cut = raw.index(b',"data":')
    return raw[:cut] + raw[cut:].replace(old, new, 1)


def flipped(path: Path, at: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x01
    path.write_bytes(bytes(content))


def _linked(raw: bytes, prev: str | None) -> bytes:
    """Return an entry whose ``prev`` is another."""
    link = b"null" if prev is None else b'"%b"' % prev.encode()
    return re.sub(rb'"prev":(?:null|"[0-9a-f]{64}")', b'"prev":' + link, raw, count=1)
