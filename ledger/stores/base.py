"""What a store must do, and what every store needs.

A store keeps rows (E, hash, signature) in order and judges nothing. All that the
ledger promises rests on three properties: ``exclusive`` lets one writer in at a
time, whatever process it lives in; what ``append`` was given is durable when the
``exclusive`` block has ended well; and if it ends badly, nothing of it is there.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from ledger.replay import Row

Columns = tuple[int, str, str, str, str]
"""The index columns of a row: seq, id, time, type, subject."""


class NewRow(NamedTuple):
    """A row to append: what the store holds, and the index columns of format.md section 7."""

    seq: int
    raw: bytes
    digest: bytes
    signature: bytes | None
    id: str
    time: str
    type: str
    subject: str

    @property
    def row(self) -> Row:
        """The row as it is read back."""
        return self.raw, self.digest, self.signature


class Session(Protocol):
    """A store while this process holds its exclusive lock."""

    def tail(self, known: int) -> Iterator[Row]:
        """Yield the whole rows on disk now, from the last of *known* rows on (or the first).

        A row counts as known for the next session once the one after it was asked for.
        """
        ...

    def fragment(self) -> bytes:
        """Return the bytes behind the last whole row, which a crash left there."""
        ...

    def find(self, event_id: str) -> Row | None:
        """Return the row whose index says that it has this id."""
        ...

    def cut(self, size: int) -> None:
        """Remove the rows from *size* on and the fragment; they have been kept elsewhere."""
        ...

    def append(self, rows: Sequence[NewRow]) -> None:
        """Write *rows* behind the last; durable when the exclusive block has ended well."""
        ...

    def sync(self) -> None:
        """Make what is there durable, whoever wrote it."""
        ...


class Store(Protocol):
    """The entries of one ledger on disk."""

    path: Path

    def exclusive(self) -> AbstractContextManager[Session]:
        """Hold the lock that lets one writer in at a time.

        Raises:
            LockedError: Another process holds it and did not let go in time.
            StoreError: The disk refused; nothing was appended.
        """
        ...

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield the whole rows from *start* to before *stop*, without a lock.

        What is appended after the first row was asked for may be left out.
        """
        ...

    def find(self, event_id: str) -> Row | None:
        """Return the row whose index says that it has this id, without a lock."""
        ...

    def columns(self) -> Iterator[Columns] | None:
        """Yield what the index says of each row, in order; None if the store has no index."""
        ...

    def whole(self) -> bool:
        """Tell whether the store ends with a whole row."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
