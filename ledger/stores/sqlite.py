"""The SQLite store: WAL, ``synchronous=FULL``, one STRICT table (format.md section 7).

The columns after ``sig`` are an index of ``entry``; nothing here believes them
but the lookup by id, whose answer is read again from ``entry``. The triggers keep
accidents out; an attacker owns the file, so no guarantee rests on them.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.ed25519 import SIGNATURE_BYTES
from ledger.entry import HASH_BYTES
from ledger.errors import LedgerError, LockedError, MalformedError, StoreError
from ledger.replay import Row
from ledger.stores.base import Columns, NewRow
from ledger.stores.files import publish, sync_directory

_SCHEMA = Path(__file__).with_name("schema.sql")
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT entry, hash, sig FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq"
_SELECT_COLUMNS = "SELECT seq, id, time, type, subject FROM entries ORDER BY seq"
_NO_DELETE = "entries_no_delete"
_FETCH = 1024
_BUSY = {"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_LOCKED"}
_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_MISMATCH", "SQLITE_ERROR"}


# SQLite's messages quote the schema; where that is damaged, Python cannot even decode them.
_FAULTS = (sqlite3.Error, OSError, UnicodeDecodeError)


class SqliteStore:
    """A ledger in one SQLite file."""

    def __init__(self, path: Path, *, timeout: float = 30.0, read_only: bool = False) -> None:
        """Connect: once to write, and once to read what is committed, from any thread.

        Raises:
            StoreError: The file cannot be opened as a SQLite database.
        """
        self.path = path
        with _translated(path):
            self._inode = path.stat().st_ino
            self._reader = _connect(path, timeout, read_only=True)
            self._connection = (
                self._reader if read_only else _connect(path, timeout, read_only=False)
            )

    @classmethod
    def create(cls, path: Path, rows: Iterator[NewRow]) -> None:
        """Write a new database, whole or not at all.

        Raises:
            StoreError: The file exists, or the disk refused.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with _translated(path):
                connection = sqlite3.connect(temporary, isolation_level=None)
                try:
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.execute("PRAGMA synchronous=FULL")
                    connection.executescript(_SCHEMA.read_text(encoding="utf-8"))
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany(_INSERT, rows)
                    connection.execute("COMMIT")
                finally:
                    connection.close()
                sync_directory(path.parent)
            publish(temporary, path)
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{temporary}{suffix}").unlink(missing_ok=True)

    def exclusive(self) -> "_SqliteSession":
        """Hold a write transaction; see ``Store.exclusive``."""
        return _SqliteSession(self._connection, self.path, self._inode)

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield rows in order of ``seq``, a bounded number in memory at a time."""
        with _translated(self.path):
            yield from _stream(self._reader, start, stop)

    def find(self, event_id: str) -> Row | None:
        """Return the row that the index gives for this id."""
        with _translated(self.path):
            return _find(self._reader, event_id)

    def columns(self) -> Iterator[Columns]:
        """Yield what the index says of each row."""
        with _translated(self.path):
            cursor = self._reader.execute(_SELECT_COLUMNS)
            while rows := cursor.fetchmany(_FETCH):
                yield from rows

    def whole(self) -> bool:
        """Rows are whole: a transaction leaves no part of one."""
        return True

    def close(self) -> None:
        """Close the connections; the last one folds the WAL into the file."""
        self._reader.close()
        self._connection.close()


class _SqliteSession:
    """The database inside one write transaction."""

    def __init__(self, connection: sqlite3.Connection, path: Path, inode: int) -> None:
        self._connection = connection
        self._path = path
        self._inode = inode

    def __enter__(self) -> Self:
        """Begin the transaction, in the file that is at our path and no other."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            # os.stat takes a tenth of the time of Path.stat, and every append pays it.
            inode = os.stat(self._path).st_ino  # noqa: PTH116
        except _FAULTS as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise _translate(self._path, error) from error
        if inode != self._inode:
            self._connection.execute("ROLLBACK")
            raise StoreError(f"{self._path} was replaced while it was open: open it again")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back if the block or the commit failed."""
        try:
            if error is None:
                self._connection.execute("COMMIT")
                return
        except _FAULTS as failure:
            error = failure
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        if isinstance(error, _FAULTS):
            raise _translate(self._path, error) from error

    def tail(self, known: int) -> Iterator[Row]:
        yield from _stream(self._connection, max(known - 1, 0), None)

    def fragment(self) -> bytes:
        return b""  # a transaction leaves none

    def find(self, event_id: str) -> Row | None:
        return _find(self._connection, event_id)

    def cut(self, size: int) -> None:
        connection = self._connection
        query = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?"
        trigger = connection.execute(query, (_NO_DELETE,)).fetchone()
        if trigger:
            connection.execute(f"DROP TRIGGER {_NO_DELETE}")
        connection.execute("DELETE FROM entries WHERE seq >= ?", (size,))
        if trigger:
            connection.execute(trigger[0])

    def append(self, rows: Sequence[NewRow]) -> None:
        if len(rows) == 1:
            self._connection.execute(_INSERT, rows[0])
        else:
            self._connection.executemany(_INSERT, rows)

    def sync(self) -> None:
        with suppress(FileNotFoundError), Path(f"{self._path}-wal").open("rb") as file:
            os.fsync(file.fileno())


def _connect(path: Path, timeout: float, *, read_only: bool) -> sqlite3.Connection:
    # A reader that may write folds the WAL away when it is the last to leave; on read-only
    # media a WAL database opens only if it is declared immutable.
    mode = "rw"
    if read_only and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        mode = "ro" if Path(f"{path}-wal").exists() else "ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA trusted_schema=OFF")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    else:
        connection.execute("PRAGMA synchronous=FULL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode=WAL")
    return connection


def _stream(connection: sqlite3.Connection, start: int, stop: int | None) -> Iterator[Row]:
    cursor = connection.execute(_SELECT, (start, 2**63 - 1 if stop is None else stop))
    while rows := cursor.fetchmany(_FETCH):
        yield from map(_row, rows)


def _find(connection: sqlite3.Connection, event_id: str) -> Row | None:
    query = "SELECT entry, hash, sig FROM entries WHERE id = ?"
    found = connection.execute(query, (event_id,)).fetchone()
    return None if found is None else _row(found)


def _row(row: tuple[object, object, object]) -> Row:
    """Refuse what no line could hold; someone else may have written the table."""
    raw, digest, signature = row
    if not isinstance(raw, bytes) or b"\n" in raw:
        raise MalformedError("a row whose entry is not one line of bytes")
    if not isinstance(digest, bytes) or len(digest) != HASH_BYTES:
        raise MalformedError(f"a row whose hash is not {HASH_BYTES} bytes")
    if signature is not None and not (
        isinstance(signature, bytes) and len(signature) == SIGNATURE_BYTES
    ):
        raise MalformedError(f"a row whose signature is not {SIGNATURE_BYTES} bytes")
    return raw, digest, signature


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except _FAULTS as error:
        raise _translate(path, error) from error


def _translate(path: Path, error: sqlite3.Error | OSError | UnicodeDecodeError) -> LedgerError:
    if isinstance(error, UnicodeDecodeError):
        return MalformedError(f"{path} is not a readable ledger database: its schema is damaged")
    if isinstance(error, OSError):
        return StoreError(f"{path}: {error.strerror}; nothing was appended")
    name = getattr(error, "sqlite_errorname", "")
    if name in _BUSY:
        return LockedError(f"{path} is locked by another process")
    if name in _CORRUPT:
        return MalformedError(f"{path} is not a readable ledger database: {error}")
    return StoreError(f"{path}: {error}; nothing was appended")
