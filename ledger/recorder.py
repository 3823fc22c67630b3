"""Record from a training loop without making it wait: one thread, group commit.

``record`` encodes the event and returns; a background thread appends what has
gathered, in one batch under one signature, at most ``linger`` seconds later. When
the disk cannot keep up, ``record`` waits (bounded memory), and ``waited`` says how
long it did in all: back-pressure that is visible.
"""

import threading
import time
from types import TracebackType
from typing import Any, Self

from ledger.batch import Draft
from ledger.entry import Event
from ledger.errors import KeyRefusedError, LedgerError, MisuseError, StoreError
from ledger.ledger import Ledger
from ledger.writer import draft

_MAX_BATCH = 4096


class Recorder:
    """An asynchronous writer in front of a ledger.

    After a failed append nothing more is accepted, and ``record``, ``flush`` and
    ``close`` raise: an event that could not be recorded is never passed over.
    """

    def __init__(self, book: Ledger, *, linger: float = 0.5, capacity: int = 10_000) -> None:
        """Start the thread. *capacity* is the number of events that may wait in memory."""
        self.waited = 0.0
        self._book = book
        self._linger = linger
        self._capacity = capacity
        self._queue: list[Draft] = []
        self._allowed: set[str] = set()
        self._accepted = 0
        self._durable = 0
        self._flushes = 0
        self._closing = False
        self._failure: LedgerError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="ledger-recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the recorder itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush and stop, also when the block raised: what was recorded is kept."""
        self.close()

    def record(self, event_type: str, subject: str, data: dict[str, Any]) -> None:
        """Hand over one event; it becomes durable with the next group commit.

        Raises:
            MisuseError: The event cannot be recorded; the message says why.
            KeyRefusedError: The ledger's register does not let our key write it.
            LedgerError: An earlier append failed; the error says how much was lost with it.
        """
        made = draft(Event(event_type, subject, data))
        if event_type not in self._allowed:
            self._book.check_may_write(event_type)
            self._allowed.add(event_type)
        with self._changed:
            if len(self._queue) >= self._capacity:
                self._wait_for_room()
            self._raise_failure()
            if self._closing:
                raise MisuseError("the recorder is closed: this event was not recorded")
            self._queue.append(made)
            self._accepted += 1
            if len(self._queue) >= _MAX_BATCH:
                self._changed.notify_all()

    def flush(self) -> None:
        """Return when everything recorded so far is durable.

        Raises:
            LedgerError: It could not be appended.
        """
        with self._changed:
            goal = self._accepted
            self._flushes += 1
            self._changed.notify_all()
            try:
                while self._durable < goal and self._failure is None:
                    self._changed.wait()
            finally:
                self._flushes -= 1
            self._raise_failure()

    def close(self) -> None:
        """Flush, and stop the thread.

        Raises:
            LedgerError: Something could not be appended.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._raise_failure()

    def _wait_for_room(self) -> None:
        begun = time.monotonic()
        self._changed.notify_all()
        while len(self._queue) >= self._capacity and self._failure is None:
            self._changed.wait()
        self.waited += time.monotonic() - begun

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            with self._changed:
                events = self._next_batch()
                if not events:
                    return
            try:
                self._book.append_drafts(events)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                with self._changed:
                    self._failure = _lost(error, self._accepted - self._durable)
                    self._changed.notify_all()
                return
            with self._changed:
                self._durable += len(events)
                self._changed.notify_all()

    def _next_batch(self) -> list[Draft]:
        """Wait for a reason to append, and take what has gathered; empty means stop."""
        while not self._urgent():
            self._changed.wait(self._linger)
            if self._queue:
                break
        events, self._queue = self._queue[:_MAX_BATCH], self._queue[_MAX_BATCH:]
        return events

    def _urgent(self) -> bool:
        if self._closing:
            return True
        full = len(self._queue) >= min(_MAX_BATCH, self._capacity)
        return full or (self._flushes > 0 and self._durable < self._accepted)


def _lost(error: Exception, count: int) -> LedgerError:
    """Return an error of the same kind that also says how many events are not recorded."""
    kind = KeyRefusedError if isinstance(error, KeyRefusedError) else StoreError
    failure = kind(f"{error}; {count} events handed to the recorder are not recorded")
    failure.__cause__ = error
    return failure
