"""``ledger show``: one entry, its place, and whether its signature holds."""

import json
from typing import Any, NamedTuple

from cli.reading import signer
from cli.render import escape_lines, fields
from ledger import ed25519
from ledger.entry import Entry, pae
from ledger.errors import MisuseError
from ledger.ledger import Ledger
from ledger.register import KeyState


class Vouching(NamedTuple):
    """What vouches for an entry. *by* is the seq of the entry whose signature does."""

    state: str
    by: int | None
    words: str


def find(book: Ledger, name: str) -> Entry:
    """Return the entry that *name* means: a seq, an event id, or an entry hash.

    Raises:
        MisuseError: There is none.
    """
    entry: Entry | None = None
    if name.isascii() and name.isdecimal() and int(name) < book.size:
        entry = next(book.entries(int(name), int(name) + 1), None)
    entry = entry or book.find(name)
    if entry is None:
        entry = next((item for item in book.entries() if item.hash == name), None)
    if entry is None:
        raise MisuseError(
            f"no entry {name[:140]!r}: expected a seq below {book.size}, an event id or a hash"
        )
    return entry


def vouching(book: Ledger, entry: Entry) -> Vouching:
    """Check the signature that vouches for *entry*: its own, or the one that ends its batch."""
    ending = next((item for item in book.entries(entry.seq) if item.signature), None)
    if ending is None:
        return Vouching("torn", None, "NONE: no signature vouches for it yet")
    key = book.register.keys.get(ending.key)
    if ending.key != entry.key or key is None or not _holds(ending, key):
        return Vouching("invalid", ending.seq, f"INVALID at entry {ending.seq}")
    if ending.seq == entry.seq:
        return Vouching("signed", entry.seq, f"valid, by {signer(book, entry.key)}")
    words = f"valid, in a batch that {signer(book, entry.key)} signed at entry {ending.seq}"
    return Vouching("batch", ending.seq, words)


def to_json(book: Ledger, entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON values."""
    names = ("seq", "id", "time", "type", "subject", "hash", "prev", "ledger", "data")
    found = vouching(book, entry)
    signature = {"state": found.state, "by": found.by, "key": entry.key}
    signature["name"] = signer(book, entry.key)
    return {name: getattr(entry, name) for name in names} | {"signature": signature}


def to_text(book: Ledger, entry: Entry) -> str:
    """Return an entry as text that is safe on a terminal."""
    key = book.register.keys.get(entry.key)
    state = f"{', '.join(key.roles)}; {key.state}" if key else "not in the register"
    head = fields(
        {
            "entry": f"{entry.seq} of {book.size}",
            "type": entry.type,
            "subject": entry.subject or "-",
            "id": entry.id,
            "time": f"{entry.time}  (the writer's claim)",
            "hash": entry.hash,
            "prev": entry.prev or "-",
            "ledger": entry.ledger or "- (this is entry 0: its hash is the ledger's id)",
            "key": f"{entry.key}  {signer(book, entry.key)} ({state})",
            "signature": vouching(book, entry).words,
        }
    )
    data = json.dumps(entry.data, ensure_ascii=False, indent=2)
    return f"{head}\n{escape_lines(data)}"


def _holds(entry: Entry, key: KeyState) -> bool:
    signature = entry.signature
    return signature is not None and ed25519.verify(key.public, signature, pae(entry.raw))
