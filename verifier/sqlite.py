"""A ledger in one SQLite file that may have been made to harm its reader.

The database is opened read-only, with its schema distrusted, in one read transaction, so
that both readings see the same rows. Only ``entry``, ``hash`` and ``sig`` are evidence; the
other columns are an index, which must agree (``store.index``, ``format.md`` section 7).
"""

import base64
import sqlite3
from binascii import hexlify
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

from verifier.chain import Piece
from verifier.entries import Entry, leaf_hash
from verifier.late import ChangedError
from verifier.lines import MAX_ENTRY, Frame

__all__ = ["MAGIC", "Row", "SqliteFile", "StoreFault", "agrees", "line_of", "piece_of"]

MAGIC = b"SQLite format 3\x00"
_COLUMNS = ("seq", "entry", "hash", "sig", "id", "time", "type", "subject")
_MAX_VALUE = 1 << 20  # of one value, in bytes: an entry has at most 65 535
_BUSY_SECONDS = 5.0
_HASH, _SIG = 32, 64
_THE_WORLDS = frozenset(  # not the evidence's fault: the machine refused
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,  # it needs a repair that a reader may not make
    }
)

# The entry is left out where it is too long for any, so that it need not be loaded.
_SELECT = (
    f"SELECT seq, iif(length(entry) <= {MAX_ENTRY}, entry, NULL), hash, sig, id, time, type, "  # noqa: S608
    "subject FROM main.entries NOT INDEXED ORDER BY seq"
)


class StoreFault(Exception):  # noqa: N818 - a fault of the evidence, not of ours
    """The database is corrupt, or not the one of format.md section 7."""


class Row(NamedTuple):
    """A row as it is stored; TEXT comes as bytearray, so that it is never taken for a BLOB."""

    seq: object
    entry: object
    hash: object
    sig: object
    id: object
    time: object
    type: object
    subject: object


# SQLite's messages quote the schema; where that is damaged, Python cannot even decode them.
_FAULTS = (sqlite3.Error, UnicodeDecodeError)


class SqliteFile:
    """An open database and the one transaction in which it is read."""

    def __init__(self, path: Path) -> None:
        """Open the database.

        Raises:
            OSError: It cannot be opened or is locked.
            StoreFault: It is corrupt, or has no table of entries.
        """
        self._path = path
        self._stat = path.stat()
        # An empty or absent log of changes: then nothing beside the file is needed, and
        # nothing must be written beside evidence. What changes meanwhile is noticed.
        logs = [path.with_name(path.name + end) for end in ("-wal", "-journal")]
        self._immutable = not any(log.exists() and log.stat().st_size for log in logs)
        mode = "mode=ro&immutable=1" if self._immutable else "mode=ro"
        uri = f"file:{quote(str(path.absolute()))}?{mode}"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None
            )
        except _FAULTS as error:
            raise _judged(error) from error
        try:
            self._prepare()
        except _FAULTS as error:
            self._connection.close()
            raise _judged(error) from error
        except StoreFault:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        """Return the database."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the database."""
        self._connection.close()

    def _prepare(self) -> None:
        connection = self._connection
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        connection.text_factory = bytearray
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        kinds = connection.execute(
            "SELECT CAST(type AS BLOB), CAST(sql AS BLOB) FROM main.sqlite_schema"
            " WHERE lower(name) = 'entries'"
        ).fetchall()
        if len(kinds) != 1 or kinds[0][0] != b"table" or _is_virtual(kinds[0][1]):
            raise StoreFault("there is no table of entries")
        columns = {
            bytes(name).decode("utf-8", "replace"): (bytes(kind).upper(), key, hidden)
            for _, name, kind, _, _, key, hidden in connection.execute(
                "PRAGMA main.table_xinfo(entries)"
            )
        }
        if not set(_COLUMNS) <= set(columns) or any(hidden for *_, hidden in columns.values()):
            raise StoreFault("the table of entries has other columns")
        if columns["seq"][:2] != (b"INTEGER", 1):
            raise StoreFault("seq is not the primary key of the table of entries")

    def count(self) -> int:
        """Return about how many rows there are, for showing progress only."""
        try:
            found = self._connection.execute("SELECT max(seq) FROM main.entries NOT INDEXED")
            greatest = found.fetchone()[0]
        except _FAULTS:
            return 0
        return greatest + 1 if isinstance(greatest, int) else 0

    def blocks(self, size: int = 512) -> Iterator[list[Row]]:
        """Yield the rows in the order of their seq, some at a time.

        Raises:
            OSError: The database cannot be read, or was changed meanwhile.
            StoreFault: It is corrupt.
        """
        try:
            cursor = self._connection.execute(_SELECT)
            while rows := cursor.fetchmany(size):
                yield [Row(*row) for row in rows]
        except _FAULTS as error:
            self._check_unchanged()
            raise _judged(error) from error
        self._check_unchanged()

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows as lines taken apart.

        Raises:
            OSError: The database cannot be read, or was changed meanwhile.
            StoreFault: It is corrupt.
        """
        for rows in self.blocks():
            yield from map(piece_of, rows)

    def _check_unchanged(self) -> None:
        now = self._path.stat()
        same = (now.st_size, now.st_mtime_ns) == (self._stat.st_size, self._stat.st_mtime_ns)
        if self._immutable and not same:
            raise ChangedError("the database was changed while it was read")


def _is_virtual(sql: object) -> bool:
    return not isinstance(sql, bytes) or not sql.upper().startswith(b"CREATE TABLE")


def _judged(error: Exception) -> OSError | StoreFault:
    """Return whose fault it is: the world's or the evidence's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        # Reading never writes; but a journal asks to be played back into the file first.
        return OSError(
            "a journal of an unfinished write lies beside the database (its name and -journal),"
            " and playing it back would change the evidence: verify a copy without it"
        )
    if code in _THE_WORLDS:
        return OSError(f"the database cannot be read: {error}")
    return StoreFault(f"the database is damaged: {error}")


def piece_of(row: Row) -> Piece:
    """Return the line that a row is, with what is to be said of its columns."""
    return Piece(_frame(row), index=lambda entry: _index_faults(row, entry))


def _frame(row: Row) -> Frame | None:
    entry = row.entry
    if not isinstance(entry, bytes) or not (entry.startswith(b"{") and entry.endswith(b"}")):
        return None
    if len(entry) < 2:  # noqa: PLR2004 - the two braces
        return None
    digest = row.hash if isinstance(row.hash, bytes) and len(row.hash) == _HASH else None
    sig = row.sig if isinstance(row.sig, bytes) or row.sig is None else b""
    return Frame(entry, (digest or leaf_hash(entry)).hex().encode(), sig)


def _is_blob(value: object, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def _index_faults(row: Row, entry: Entry | None) -> list[str]:
    """Say which columns are not what ``entry`` makes them."""
    faults = []
    if not isinstance(row.entry, bytes):
        faults.append("entry is no BLOB of at most 65 535 bytes")
    elif b"\n" in row.entry:
        faults.append("entry holds a line feed: exported, it would be two lines")
    if not _is_blob(row.hash, _HASH):
        faults.append("hash is not 32 bytes")
    if row.sig is not None and not _is_blob(row.sig, _SIG):
        faults.append("sig is not 64 bytes")
    if entry is None:
        return faults
    expected = {
        "seq": entry.seq,
        "id": bytearray(entry.id),
        "time": bytearray(entry.time),
        "type": bytearray(entry.type.encode()),
        "subject": bytearray(entry.subject.encode()),
    }
    for column, value in expected.items():
        found = getattr(row, column)
        if type(found) is not type(value) or found != value:
            faults.append(f"the column {column} is not that of the entry")
    return ["; ".join(faults)] if faults else []


_HEADER = len(b'{"v":1,"ledger":"","seq":,"prev":"","id":"') + 2 * 64  # behind it, seq and the id
_KEY = 64
_DATA = b'","data":{'


def line_of(row: Row) -> bytes:
    """Return the line that a row would be in JSONL, or an empty one if it is none."""
    entry, digest, sig = row.entry, row.hash, row.sig
    if not isinstance(entry, bytes) or not isinstance(digest, bytes):
        return b""
    if sig is None:
        return b'{"entry":%b,"hash":"%b","sig":null}' % (entry, hexlify(digest))
    if not isinstance(sig, bytes):
        return b""
    return b'{"entry":%b,"hash":"%b","sig":"%b"}' % (entry, hexlify(digest), base64.b64encode(sig))


def agrees(row: Row, seq: int) -> bool:
    """Tell whether the index columns of a row are those of its entry, whose header is good."""
    entry, name, time, kind, subject = row.entry, row.id, row.time, row.type, row.subject
    if not isinstance(entry, bytes) or row.seq != seq or type(row.seq) is not int:
        return False
    if not (
        isinstance(name, bytearray)
        and isinstance(time, bytearray)
        and isinstance(kind, bytearray)
        and isinstance(subject, bytearray)
    ):
        return False
    start = _HEADER + len(b"%d" % seq)
    first = name + b'","time":"' + time + b'","key":"'
    word = b"false" if row.sig is None else b"true"
    second = b'","signed":' + word + b',"type":"' + kind + b'","subject":"' + subject + _DATA
    return entry.startswith(first, start) and entry.startswith(second, start + len(first) + _KEY)
