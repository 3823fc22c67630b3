"""Ledgers from one place to another: nothing faulty goes out, nothing is overwritten."""

from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from cli.output import write
from cli.render import fields
from ledger.convert import convert, export_lines
from ledger.errors import MisuseError
from ledger.ledger import Ledger
from ledger.paths import SUFFIXES

_ARCHIVES = (".tar", ".zip")


class Transfer(NamedTuple):
    """What was carried over."""

    source: Path
    target: Path
    ledger: str
    size: int
    files: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        place = {"source": str(self.source), "target": str(self.target)}
        return place | {"ledger": self.ledger, "size": self.size, "files": self.files}

    def to_text(self, verb: str) -> str:
        """Return it as text."""
        parts = f"{self.size} entries" if self.files is None else f"{self.files} files"
        return fields({verb: f"{parts} to {self.target}", "ledger": self.ledger})


def stream(source: Path) -> int:
    """Write a ledger's JSONL to stdout, if all of it is good; nothing otherwise."""
    for line in export_lines(source):
        write(line)
    return 0


def export(source: Path, target: Path) -> Transfer:
    """Copy a ledger to a file, or a run directory to an archive.

    Raises:
        MalformedError: The ledger has a fault; nothing was written.
        MisuseError: *target* exists or says no format.
        StoreError: The disk refused.
    """
    if target.suffix == ".tar":
        return _pack(source, target)
    if target.suffix not in SUFFIXES:
        raise MisuseError(f"{target}: expected a name that ends in {', '.join(SUFFIXES)} or .tar")
    size = convert(source, target)
    return Transfer(source, target, _id_of(target), size)


def take_in(source: Path, target: Path) -> Transfer:
    """Copy a ledger into a new store, or unpack a run directory.

    Raises:
        MalformedError: The ledger or the archive has a fault; nothing was written.
        MisuseError: *target* exists, or *source* does not.
        StoreError: The disk refused.
    """
    if source.suffix in _ARCHIVES:
        from ledger.archive import unpack

        files = unpack(source, target)
        with Ledger.open(target) as book:
            return Transfer(source, target, book.id, book.size, len(files))
    size = convert(source, target)
    return Transfer(source, target, _id_of(target), size)


def _pack(source: Path, target: Path) -> Transfer:
    from ledger.archive import pack

    if not source.is_dir():
        raise MisuseError(f"{source} is not a run directory: only those become a .tar")
    deque(export_lines(source), maxlen=0)  # a faulty ledger is not handed on
    files = pack(source, target)
    with Ledger.open(source) as book:
        return Transfer(source, target, book.id, book.size, len(files))


def _id_of(target: Path) -> str:
    with Ledger.open(target) as book:
        return book.id
