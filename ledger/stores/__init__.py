"""The stores: the same entries, hashes and signatures in different files (section 7)."""

from collections.abc import Iterator
from pathlib import Path

from ledger.stores.base import NewRow

__all__ = ["create_store"]


def create_store(path: Path, rows: Iterator[NewRow]) -> None:
    """Write *rows* into a new store at *path*, whole or not at all.

    Raises:
        StoreError: There is a file of that name, or the disk refused.
    """
    if path.suffix == ".jsonl":
        from ledger.stores.jsonl import JsonlStore  # noqa: PLC0415 - only the store in use

        JsonlStore.create(path, rows)
    else:
        from ledger.stores.sqlite import SqliteStore  # noqa: PLC0415 - only the store in use

        SqliteStore.create(path, rows)
