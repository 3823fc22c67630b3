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

from ledger.errors import LedgerError, LockedError, MalformedError, StoreError
from ledger.replay import Row
from ledger.stores.base import NewRow
from ledger.stores.files import publish, sync_directory

_SCHEMA = Path(__file__).with_name("schema.sql")
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT entry, hash, sig FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq"
_NO_DELETE = "entries_no_delete"
_FETCH = 1024
_BUSY = {"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_LOCKED"}
_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_MISMATCH", "SQLITE_ERROR"}


class SqliteStore:
    """A ledger in one SQLite file."""

    def __init__(self, path: Path, *, timeout: float = 30.0, read_only: bool = False) -> None:
        """Connect.

        Raises:
            StoreError: The file cannot be opened as a SQLite database.
        """
        self.path = path
        with _translated(path):
            self._connection = _connect(path, timeout, read_only=read_only)
        self._name = str(path)
        self._inode = path.stat().st_ino

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

    @contextmanager
    def exclusive(self) -> Iterator["_SqliteSession"]:
        """Hold a write transaction; see ``Store.exclusive``."""
        self._check_in_place()
        with _translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            with _translated(self.path):
                yield _SqliteSession(self._connection, self.path)
                self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield rows in order of ``seq``, a bounded number in memory at a time."""
        with _translated(self.path):
            yield from _stream(self._connection, start, stop)

    def find(self, event_id: str) -> int | None:
        """Return the seq that the index gives for this id."""
        with _translated(self.path):
            return _find(self._connection, event_id)

    def whole(self) -> bool:
        """Rows are whole: a transaction leaves no part of one."""
        return True

    def rewind(self) -> None:
        """Nothing is remembered between sessions."""

    def close(self) -> None:
        """Close the connection; the last one folds the WAL into the file."""
        self._connection.close()

    def _check_in_place(self) -> None:
        """Refuse to write into a file that is no longer the one at our path."""
        try:
            inode = os.stat(self._name).st_ino  # noqa: PTH116 - a tenth of Path.stat, every append
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        if inode != self._inode:
            raise StoreError(f"{self.path} was replaced while it was open: open it again")


class _SqliteSession:
    """The database inside one write transaction."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def tail(self, known: int) -> Iterator[Row]:
        yield from _stream(self._connection, max(known - 1, 0), None)

    def fragment(self) -> bytes:
        return b""  # a transaction leaves none

    def find(self, event_id: str) -> int | None:
        return _find(self._connection, event_id)

    def row(self, seq: int) -> Row:
        return next(_stream(self._connection, seq, seq + 1))

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
        yield from rows


def _find(connection: sqlite3.Connection, event_id: str) -> int | None:
    found = connection.execute("SELECT seq FROM entries WHERE id = ?", (event_id,)).fetchone()
    return None if found is None else int(found[0])


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except LedgerError:
        raise
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name in _BUSY:
            raise LockedError(f"{path} is locked by another process") from error
        if name in _CORRUPT:
            raise MalformedError(f"{path} is not a readable ledger database: {error}") from error
        raise StoreError(f"{path}: {error}; nothing was appended") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; nothing was appended") from error
