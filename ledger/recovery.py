"""What a crash left at the end of a ledger: kept in a side file, and recorded.

The order makes it safe to die anywhere: the torn bytes are first copied to
``PATH.torn-pending``, durably; then they are cut from the ledger; then the next
batch begins with ``ledger.recovered``; then the side file gets its final name.
While the pending file exists, some of that is still to be done.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ledger.entry import Event, frame_line, parse_line
from ledger.errors import MalformedError
from ledger.replay import Row
from ledger.stores.files import sync_directory, write_durably

_HASHES_AN_EVENT = 800  # 67 bytes each: more would not fit into an entry
RECOVERED = "ledger.recovered"


def pending_path(ledger: Path) -> Path:
    """Return where torn bytes wait until they are recorded."""
    return Path(f"{ledger}.torn-pending")


def set_aside(ledger: Path, rows: Iterable[Row], fragment: bytes) -> None:
    """Keep torn entries, and a torn line, in the pending side file.

    Raises:
        StoreError: The disk refused; nothing may be cut then.
    """
    torn = b"".join(frame_line(*row) for row in rows) + fragment
    if fragment:
        torn += b"\n"  # else what a second crash leaves would be glued to it
    pending = pending_path(ledger)
    before = pending.read_bytes() if pending.exists() else b""
    if not before.endswith(torn):  # else a crash came between the copy and the cut
        write_durably(pending, before + torn)


def recovered_events(ledger: Path) -> list[Event]:
    """Return the events that record the pending side file; none if there is none.

    Their ids come from the bytes, so recording them twice is recording them once.
    """
    pending = pending_path(ledger)
    if not pending.exists():
        return []
    torn = pending.read_bytes()
    hashes = [digest for line in torn.split(b"\n") if (digest := _hash_of(line))]
    digest = hashlib.sha256(torn).hexdigest()
    parts = max(1, -(-len(hashes) // _HASHES_AN_EVENT))
    return [
        Event(
            RECOVERED,
            "",
            {
                "side_file": _final_path(ledger, digest).name,
                "sha256": digest,
                "bytes": len(torn),
                "entries": len(hashes),
                "hashes": hashes[part * _HASHES_AN_EVENT : (part + 1) * _HASHES_AN_EVENT],
                "part": part + 1,
                "parts": parts,
            },
            id=f"recovered-{digest}-{part + 1}",
        )
        for part in range(parts)
    ]


def finish(ledger: Path) -> None:
    """Give the side file its final name: its bytes are on record."""
    pending = pending_path(ledger)
    if pending.exists():
        digest = hashlib.sha256(pending.read_bytes()).hexdigest()
        pending.replace(_final_path(ledger, digest))
        sync_directory(ledger.parent)


def _final_path(ledger: Path, digest: str) -> Path:
    return ledger.with_name(f"{ledger.name}.torn-{digest[:16]}")


def _hash_of(line: bytes) -> str | None:
    """Return the hash of a whole torn entry, or None for a torn line."""
    try:
        return parse_line(line)[1].hex()
    except MalformedError:
        return None
