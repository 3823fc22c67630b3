"""Follow a run in its ledger while it goes on: a thread that reads what others append.

What is read is handed on entry by entry, and what is made of it is appended to a
file, synced, as it happens. A projection of the whole ledger is written over that
file in the end; until then it is the best there is, also if we are killed.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger import Entry, Ledger, LedgerError

Follow = Callable[[Entry], bytes]
"""Makes of each entry, in their order, what is appended to the streamed file."""

_EVERY_S = 0.25
_SHARE = 20  # of the time that passes, a twentieth at most is spent on reading


class Follower:
    """Reads on from *start*, with a handle of its own that can only read."""

    def __init__(
        self, ledger: Path, start: int, *, subject: str, target: Path, follow: Follow | None
    ) -> None:
        """Begin nothing yet. *subject* is the run that ``failed_at`` is about."""
        self.failed_at: int | None = None
        self.problem: str | None = None
        self._ledger = ledger
        self._next = start
        self._subject = subject
        self._target = target
        self._follow = follow
        self._written = 0
        self._digest = hashlib.sha256()
        self._descriptor: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-follower", daemon=True)

    def __enter__(self) -> Self:
        """Start to follow."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Read to the end of what is there by now, and stop."""
        self._over.set()
        self._thread.join()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def has_failed(self) -> bool:
        """Tell whether a gate check of the run was a fail."""
        return self.failed_at is not None

    def agrees_with(self, content: bytes) -> bool:
        """Tell whether *content* begins with everything that was streamed."""
        return hashlib.sha256(content[: self._written]).digest() == self._digest.digest()

    def _run(self) -> None:
        try:
            with Ledger.open(self._ledger) as book:
                pause = _EVERY_S
                while not self._over.wait(pause):
                    begun = time.monotonic()
                    with suppress(LedgerError):  # a busy or torn moment; the last look tells
                        self._read_on(book)
                    # A JSONL file is read from its beginning each time: never for long.
                    pause = max(_EVERY_S, _SHARE * (time.monotonic() - begun))
                self._read_on(book)
        except (LedgerError, OSError) as error:
            self.problem = f"{self._target.name} could not be streamed: {error}"

    def _read_on(self, book: Ledger) -> None:
        entries = list(book.entries(self._next))
        # Behind the last signature nothing is settled: a crash could still cut it off.
        while entries and not entries[-1].signed:
            entries.pop()
        made = []
        for entry in entries:
            self._next = entry.seq + 1
            if entry.type == "gate.checked" and entry.subject == self._subject:
                self._note_decision(entry)
            if self._follow is not None:
                made.append(self._follow(entry))
        self._append(b"".join(made))

    def _note_decision(self, entry: Entry) -> None:
        if self.failed_at is None and entry.data.get("decision") == "fail":
            self.failed_at = int(entry.data.get("iter", 0))

    def _append(self, text: bytes) -> None:
        if not text:
            return
        if self._descriptor is None:
            self._descriptor = _open_regular(self._target)
        view = memoryview(text)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fsync(self._descriptor)
        self._digest.update(text)
        self._written += len(text)


def _open_regular(path: Path) -> int:
    """Open *path* to append to it, empty; the runner may have put a FIFO or a link there.

    Raises:
        OSError: It is no regular file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o644)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OSError(f"{path.name} is not a regular file of its own")
    os.ftruncate(descriptor, 0)
    return descriptor
