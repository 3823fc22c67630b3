"""The JSONL store: one file of framed lines, for interchange and ``tail -f``.

Writers take turns through ``flock`` on the file itself, and open it anew for each
turn, so that a file that was replaced in between is noticed by what it holds. A
crash can leave a torn end; whoever writes next finds it under the lock.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ledger.entry import MAX_ENTRY_BYTES, frame_line, parse_line
from ledger.errors import LockedError, MalformedError, StoreError
from ledger.replay import Row
from ledger.stores.base import NewRow
from ledger.stores.files import publish

MAX_LINE = 9 + MAX_ENTRY_BYTES + 172 + 1  # section 1: a file without newlines must not fill memory
_ID = re.compile(rb'"id":"([^"]*)"')


class JsonlStore:
    """A ledger in one JSONL file."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        """Look at nothing yet; the first session reads."""
        self.path = path
        self._timeout = timeout
        self._ids: dict[bytes, int] = {}
        self._size = 0
        self._end = 0  # the offset behind row _size - 1
        self._last_start = 0  # the offset of that row

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
        try:
            file = self.path.open("r+b", buffering=0)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        with file:
            self._lock(file)
            yield _JsonlSession(self, file)

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield whole rows from *start* to before *stop*; a torn end is left out."""
        with _opened(self.path) as file:
            for seq, line in enumerate(_lines(file)):
                if stop is not None and seq >= stop:
                    return
                if seq >= start and line.endswith(b"\n"):
                    yield _row(line, seq)

    def find(self, event_id: str) -> int | None:
        """Return the seq of the entry with this id, reading the file to its end."""
        wanted = event_id.encode()
        for seq, row in enumerate(self.rows()):
            if _id(row[0]) == wanted:
                return seq
        return None

    def whole(self) -> bool:
        """Tell whether the file ends with a LF."""
        with _opened(self.path) as file:
            size = file.seek(0, os.SEEK_END)
            return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"

    def rewind(self) -> None:
        """Forget what has been read."""
        self._ids.clear()
        self._size = self._end = self._last_start = 0

    def close(self) -> None:
        """Nothing stays open between sessions."""

    def _lock(self, file: BinaryIO) -> None:
        deadline = time.monotonic() + self._timeout
        pause = 0.0005
        while True:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise LockedError(
                        f"{self.path} is locked by another process for {self._timeout:g} s"
                    ) from error
                time.sleep(pause)
                pause = min(pause * 2, 0.02)
            except OSError as error:
                raise StoreError(f"{self.path}: {error.strerror}") from error
            else:
                return


class _JsonlSession:
    """The file while this process holds its lock."""

    def __init__(self, store: JsonlStore, file: BinaryIO) -> None:
        self._store = store
        self._file = file
        self._fragment = b""

    def tail(self, known: int) -> Iterator[Row]:
        store, descriptor = self._store, self._file.fileno()
        if known != store._size:
            raise AssertionError("rows are read once, in order")
        if known:
            line = os.pread(descriptor, store._end - store._last_start, store._last_start)
            if len(line) < store._end - store._last_start:
                return  # the file was cut below the last row known
            yield _row(line, known - 1)
        if os.fstat(descriptor).st_size == store._end:
            return
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(store._end)
            for line in _lines(file):
                if not line.endswith(b"\n"):
                    self._fragment = line
                    return
                row = _row(line, store._size)
                self._took(_id(row[0]), len(line))
                yield row

    def fragment(self) -> bytes:
        return self._fragment

    def find(self, event_id: str) -> int | None:
        return self._store._ids.get(event_id.encode())

    def row(self, seq: int) -> Row:
        return next(self._store.rows(seq, seq + 1))

    def cut(self, size: int) -> None:
        store = self._store
        keep, gone = [], []
        for seq, row in enumerate(store.rows(0, store._size)):
            (keep if seq < size else gone).append(len(frame_line(*row)))
            if seq >= size:
                store._ids.pop(_id(row[0]), None)
        store._size, store._end = size, sum(keep)
        store._last_start = store._end - (keep[-1] if keep else 0)
        self._truncate()
        self._fragment = b""

    def append(self, rows: Sequence[NewRow]) -> None:
        store = self._store
        lines = [frame_line(new.raw, new.digest, new.signature) for new in rows]
        content = b"".join(lines)
        try:
            _write_all(self._file.fileno(), content, store._end)
            os.fdatasync(self._file.fileno())
        except OSError as error:
            # After a failed write or sync the kernel may have dropped the bytes, so they are
            # never synced again: they were not acknowledged, and are taken back.
            self._truncate()
            raise StoreError(f"{store.path}: {error.strerror}; nothing was appended") from error
        for new, line in zip(rows, lines, strict=True):
            self._took(new.id.encode(), len(line))

    def sync(self) -> None:
        os.fdatasync(self._file.fileno())

    def _took(self, event_id: bytes, length: int) -> None:
        store = self._store
        store._ids[event_id] = store._size
        store._size += 1
        store._last_start = store._end
        store._end += length

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._file.fileno(), self._store._end)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(
                f"{self._store.path}: {error.strerror}; the torn end is left for the next writer"
            ) from error


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their LF; only the last can lack it.

    Raises:
        MalformedError: A line is longer than any entry's.
    """
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            raise MalformedError(f"a line is longer than {MAX_LINE} bytes")
        yield line


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
