"""Carry a ledger from one store to another without changing a byte (format.md section 7).

What is carried over is checked on the way, so a faulty ledger does not become a
tidy-looking file: nothing is written under the target's name until the last
entry was found good.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from ledger.entry import Entry, frame_line
from ledger.errors import BrokenLinkError, MalformedError
from ledger.paths import locate, open_store
from ledger.replay import Replay
from ledger.stores import create_store
from ledger.stores.base import Columns, NewRow


def convert(source: Path, target: Path) -> int:
    """Copy the ledger at *source* into a new store at *target*; return its size.

    Raises:
        MalformedError: The source has a fault; nothing was written.
        StoreError: There is a file at *target* already, or the disk refused.
    """
    place = locate(target, new=True)
    replay = Replay(thorough=True)
    create_store(place, _checked_rows(source, replay))
    return replay.head.size


def export_lines(source: Path) -> Iterator[bytes]:
    """Yield the JSONL lines of the ledger at *source*, after checking all of it.

    Raises:
        MalformedError: The source has a fault; nothing was yielded.
    """
    replay = Replay(thorough=True)
    for _ in _checked_rows(source, replay):
        pass
    # A live writer may have gone on meanwhile: what was checked is yielded, and no more.
    again = Replay()
    for new in itertools.islice(_checked_rows(source, again), replay.head.size):
        yield frame_line(*new.row)
    if again.head != replay.head:
        raise BrokenLinkError("the ledger was replaced while it was being exported")


def _checked_rows(source: Path, replay: Replay) -> Iterator[NewRow]:
    place = locate(source)
    store = open_store(place, timeout=30.0, read_only=True)
    try:
        if not store.whole():
            raise MalformedError(f"{place} ends in a torn line: append to it once to recover")
        ids: set[str] = set()
        latest: dict[str, int] = {}  # key -> the last entry that it signed
        columns = store.columns()
        for seq, row in enumerate(store.rows()):
            entry = replay.take(row)
            if columns is not None:
                _require_index(entry, next(columns, None))
            if entry.id in ids:
                raise BrokenLinkError(f"the id {entry.id!r} was used before", seq=seq)
            ids.add(entry.id)
            latest[entry.key] = seq
            if entry.type == "key.revoked":
                _refuse_compromised(entry, latest)
            yield NewRow(seq, *row, entry.id, entry.time, entry.type, entry.subject)
        if replay.torn:
            raise BrokenLinkError(
                f"the ledger ends in {replay.torn} unsigned entries: append to it once to recover",
                seq=replay.head.size - 1,
            )
        if replay.head.size == 0:
            raise MalformedError(f"{place} holds no entry: a ledger begins with ledger.created")
    finally:
        store.close()


def _require_index(entry: Entry, columns: Columns | None) -> None:
    """Refuse a database whose columns tell people something else than the entry does."""
    if columns != (entry.seq, entry.id, entry.time, entry.type, entry.subject):
        raise MalformedError("the columns of the database disagree with the entry", seq=entry.seq)


def _refuse_compromised(revoked: Entry, latest: dict[str, int]) -> None:
    """Refuse what a verifier reports of it: a thief may have signed some of these entries."""
    since = revoked.data.get("compromised_since")
    last = latest.get(str(revoked.data["key"]), -1)
    if since is not None and last >= since:
        raise BrokenLinkError(
            f"the key revoked at entry {revoked.seq} is compromised since entry {since}", seq=last
        )
