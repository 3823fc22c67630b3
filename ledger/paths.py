"""Which file a PATH means: a ``.jsonl``, a ``.sqlite`` or ``.db``, or a run directory."""

from pathlib import Path

from ledger.errors import MisuseError
from ledger.stores.base import Store

DATABASES = (".sqlite", ".db")
SUFFIXES = (".jsonl", *DATABASES)
NAMES = ("ledger.sqlite", "ledger.db", "ledger.jsonl")
"""The names that a ledger can have in a run directory; a new one gets the first."""


def locate(path: Path, *, new: bool = False) -> Path:
    """Return the file that holds, or with *new* will hold, the ledger at *path*.

    Raises:
        MisuseError: There is none, more than one, or the name says no store.
    """
    if path.suffix not in SUFFIXES or path.is_dir():
        if new:
            path.mkdir(parents=True, exist_ok=True)
            return path / NAMES[0]
        return _in_directory(path)
    if not new and not path.exists():
        raise MisuseError(f"{path} does not exist; make a ledger with: ledger init {path} --name N")
    return path


def _in_directory(path: Path) -> Path:
    if not path.exists():
        raise MisuseError(f"{path} does not exist; make a ledger with: ledger init {path} --name N")
    if not path.is_dir():
        raise MisuseError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    found = [path / name for name in NAMES if (path / name).exists()]
    if not found:
        raise MisuseError(
            f"no ledger in the directory {path}: expected one of {', '.join(NAMES)};"
            f" make one with: ledger init {path} --name N"
        )
    if len(found) > 1:
        names = " and ".join(item.name for item in found)
        raise MisuseError(f"two ledgers in the directory {path}: name one of {names}")
    return found[0]


def open_store(path: Path, *, timeout: float, read_only: bool) -> Store:
    """Return the store of the ledger file at *path*.

    Raises:
        StoreError: The disk refused.
        MalformedError: The file is not a store of its kind.
    """
    if path.suffix in DATABASES:
        from ledger.stores.sqlite import SqliteStore  # noqa: PLC0415 - only the store in use

        return SqliteStore(path, timeout=timeout, read_only=read_only)
    from ledger.stores.jsonl import JsonlStore  # noqa: PLC0415 - only the store in use

    return JsonlStore(path, timeout=timeout)
