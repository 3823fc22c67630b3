"""The JSONL store: one file of framed lines, for interchange and ``tail -f``.

Writers take turns through ``flock`` on the file itself, and open it anew for each
turn, so that a file that was replaced in between is noticed by what it holds. A
crash can leave a torn end; whoever writes next finds it under the lock.
"""

import fcntl
import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from ledger.entry import MAX_ENTRY_BYTES, frame_line, parse_line
from ledger.errors import LockedError, MalformedError, StoreError
from ledger.replay import Row
from ledger.stores.base import NewRow
from ledger.stores.files import publish

MAX_LINE = 9 + MAX_ENTRY_BYTES + 172 + 1  # section 1: a file without newlines must not fill memory
_ID = re.compile(rb'"id":"([^"]*)"')


@dataclass
class _Seen:
    """What has been read of the file: how far, and where the last row and each id stand."""

    size: int = 0
    end: int = 0  # the offset behind row size - 1
    last: int = 0  # the offset of that row
    broken: bool = False
    ids: dict[bytes, int] = field(default_factory=dict)  # to the offset of the entry's line

    def take(self, event_id: bytes, length: int) -> None:
        """Move on behind a row of *length* bytes."""
        self.ids[event_id] = self.end
        self.size += 1
        self.last = self.end
        self.end += length


class JsonlStore:
    """A ledger in one JSONL file."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        """Look at nothing yet; the first session reads."""
        self.path = path
        self._timeout = timeout
        self._seen = _Seen()

    @classmethod
    def create(cls, path: Path, rows: Iterator[NewRow]) -> None:
        """Write a new file, whole or not at all.

        Raises:
            StoreError: The file exists, or the disk refused.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("xb") as file:
                for new in rows:
                    file.write(frame_line(*new.row))
                file.flush()
                os.fsync(file.fileno())
            publish(temporary, path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator["_JsonlSession"]:
        """Hold the file's lock; see ``Store.exclusive``."""
        if self._seen.broken:
            raise StoreError(f"{self.path}: an earlier append failed half-way; open it again")
        file = self._locked()
        try:
            yield _JsonlSession(self.path, file, self._seen)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}; nothing was appended") from error
        finally:
            # A child forked meanwhile has our descriptor: closing ours would not unlock. What
            # goes wrong now must not make a durable append look like a failed one.
            with suppress(OSError):
                fcntl.flock(file.fileno(), fcntl.LOCK_UN)
            with suppress(OSError):
                file.close()

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield whole rows from *start* to before *stop*; a torn end is left out."""
        with _opened(self.path) as file:
            end = os.fstat(file.fileno()).st_size
            for seq, line in enumerate(_lines(file)):
                if (stop is not None and seq >= stop) or not line.endswith(b"\n"):
                    return
                if seq >= start:
                    yield _row(line, seq)
                if file.tell() >= end:
                    return

    def find(self, event_id: str) -> Row | None:
        """Return the row with this id, reading the file to its end."""
        wanted = event_id.encode()
        return next((row for row in self.rows() if _id(row[0]) == wanted), None)

    def columns(self) -> None:
        """Lines have no index."""

    def whole(self) -> bool:
        """Tell whether the file ends with a LF."""
        with _opened(self.path) as file:
            size = file.seek(0, os.SEEK_END)
            return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"

    def close(self) -> None:
        """Nothing stays open between sessions."""

    def _locked(self) -> BinaryIO:
        """Return the file at our path, open and locked, however often it is replaced."""
        deadline = time.monotonic() + self._timeout
        pause = 0.0005
        while True:
            file = _opened(self.path, "r+b")
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):  # noqa: PTH116
                    return file
            except BlockingIOError:
                pass
            except OSError as error:
                file.close()
                raise StoreError(f"{self.path}: {error.strerror}") from error
            file.close()
            if time.monotonic() > deadline:
                raise LockedError(
                    f"{self.path} has been locked by another process for {self._timeout:g} s"
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


class _JsonlSession:
    """The file while this process holds its lock."""

    def __init__(self, path: Path, file: BinaryIO, seen: _Seen) -> None:
        self._path = path
        self._file = file
        self._seen = seen
        self._fragment = b""

    def tail(self, known: int) -> Iterator[Row]:
        seen, descriptor = self._seen, self._file.fileno()
        if known != seen.size:
            raise AssertionError("rows are read once, in order")
        if known:
            line = os.pread(descriptor, seen.end - seen.last, seen.last)
            if len(line) < seen.end - seen.last:
                return  # the file was cut below the last row known
            yield _row(line, known - 1)
        if os.fstat(descriptor).st_size == seen.end:
            return
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(seen.end)
            for line in _lines(file):
                if not line.endswith(b"\n"):
                    self._fragment = line
                    return
                row = _row(line, seen.size)
                yield row
                seen.take(_id(row[0]), len(line))

    def fragment(self) -> bytes:
        return self._fragment

    def find(self, event_id: str) -> Row | None:
        offset = self._seen.ids.get(event_id.encode())
        if offset is None:
            return None
        line = os.pread(self._file.fileno(), MAX_LINE, offset)
        return _row(line[: line.find(b"\n") + 1], 0)

    def cut(self, size: int) -> None:
        kept = _Seen()
        with _opened(self._path) as file:
            for line in itertools.islice(_lines(file), size):
                kept.take(_id(parse_line(line[:-1])[0]), len(line))
        vars(self._seen).update(vars(kept))
        self._truncate()
        self._fragment = b""

    def append(self, rows: Sequence[NewRow]) -> None:
        lines = [frame_line(new.raw, new.digest, new.signature) for new in rows]
        try:
            _write_all(self._file.fileno(), b"".join(lines), self._seen.end)
            os.fdatasync(self._file.fileno())
        except OSError as error:
            # After a failed write or sync the kernel may have dropped the bytes, so they are
            # never synced again: they were not acknowledged, and are taken back.
            self._truncate()
            raise StoreError(f"{self._path}: {error.strerror}; nothing was appended") from error
        for new, line in zip(rows, lines, strict=True):
            self._seen.take(new.id.encode(), len(line))

    def sync(self) -> None:
        os.fdatasync(self._file.fileno())

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._file.fileno(), self._seen.end)
            os.fsync(self._file.fileno())
        except OSError as error:
            self._seen.broken = True
            raise StoreError(
                f"{self._path}: {error.strerror}; the torn end is left for the next writer"
            ) from error


def _opened(path: Path, mode: Literal["rb", "r+b"] = "rb") -> BinaryIO:
    try:
        return path.open(mode)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their LF; only the last can lack it.

    Raises:
        MalformedError: A line is longer than any entry's.
    """
    while line := _read_line(file):
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            raise MalformedError(f"a line is longer than {MAX_LINE} bytes")
        yield line


def _read_line(file: BinaryIO) -> bytes:
    try:
        return file.readline(MAX_LINE)
    except OSError as error:
        raise StoreError(f"{file.name}: {error.strerror}") from error


def _row(line: bytes, seq: int) -> Row:
    try:
        return parse_line(line[:-1])
    except MalformedError as error:
        raise MalformedError(error.reason, seq=seq) from error


def _id(raw: bytes) -> bytes:
    match = _ID.search(raw)
    return match[1] if match else b""


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of *content*; ``pwrite`` may write less than it is given."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
