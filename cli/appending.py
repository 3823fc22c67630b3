"""Append events for the command line: one, or a stream of them in batches."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import inputs
from cli.lines import Lines
from ledger.entry import Event, Head
from ledger.errors import KeyRefusedError, LedgerError, MisuseError, StoreError
from ledger.ledger import Ledger
from ledger.strictjson import encode
from ledger.writer import Receipt

if TYPE_CHECKING:
    from cli.errors import ProblemError

_MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the payload of an event comes from: exactly one of these."""

    data: str | None = None
    data_file: Path | None = None
    blob: Path | None = None
    media_type: str | None = None

    def check(self) -> None:
        """Refuse what cannot be recorded before anything is opened.

        Raises:
            MisuseError: Not exactly one source, or not JSON.
        """
        given = [item for item in (self.data, self.data_file, self.blob) if item is not None]
        if len(given) != 1:
            raise MisuseError("give exactly one of --data, --data-file and --blob (or --stdin)")
        if self.media_type is not None and self.blob is None:
            raise MisuseError("--media-type belongs to --blob")

    def payload(self, book: Ledger | None) -> bytes:
        """Return the payload; a blob is stored in *book* first, and without one left out."""
        if self.data is not None:
            return inputs.payload(self.data.encode("utf-8", "surrogateescape"), what="--data")
        if self.data_file is not None:
            return inputs.read_payload(self.data_file)
        return b"{}" if book is None else encode({"blob": self._store(book)})

    def _store(self, book: Ledger) -> dict[str, Any]:
        path = self.blob
        if path is None:
            raise AssertionError("check() was not called")
        try:
            with path.open("rb") as file:
                media_type = self.media_type or _MEDIA_TYPE
                return book.blobs.put(file, name=path.name, media_type=media_type)
        except OSError as error:
            raise MisuseError(f"--blob {path}: {error.strerror}") from error


def event_of(event_type: str, subject: str, *, source: Source, event_id: str | None) -> Event:
    """Return the event, checked as far as it can be without the ledger.

    Raises:
        MisuseError: It cannot be recorded.
    """
    source.check()
    return Event(event_type, subject, source.payload(None), event_id)


def append_one(
    book: Ledger, event: Event, *, source: Source, expected_head: Head | None
) -> Receipt:
    """Append one event; a blob is stored only when the key may record it.

    Raises:
        LedgerError: It was refused; nothing was appended.
    """
    if source.blob is not None:
        book.register.check(book.key.id, event.type)
        event = replace(event, data=source.payload(book))
    return book.append(event, expected_head=expected_head)


Acknowledge = Callable[[Receipt], None]


@dataclass
class Stream:
    """Appends lines of NDJSON; what was acknowledged stays, whatever comes after."""

    book: Ledger
    acknowledge: Acknowledge
    expected_head: Head | None = None
    appended: int = 0

    def run(self, descriptor: int, *, batch: int | None) -> int:
        """Append until the end of input, and return how many events there were.

        Raises:
            ProblemError: A line was refused: all before it are in the ledger, and none after.
        """
        for numbered in Lines(descriptor).batches(batch):
            self._take([(number, line) for number, line in numbered if line.strip()])
        return self.appended

    def _take(self, numbered: list[tuple[int, bytes]]) -> None:
        events: list[tuple[int, Event]] = []
        fault: LedgerError | None = None
        for number, line in numbered:
            try:
                events.append((number, inputs.event(line, what=f"line {number}")))
            except MisuseError as error:
                fault = error
                break
        self._append(events)
        if fault is not None:
            raise self._stopped(fault)

    def _append(self, events: list[tuple[int, Event]]) -> None:
        """Append a batch; if it is refused, find the line at fault and append what is before."""
        if not events:
            return
        try:
            self._write([event for _, event in events])
        except (MisuseError, KeyRefusedError) as error:
            if len(events) == 1:
                raise self._stopped(error, number=events[0][0]) from error
            for number, event in events:
                self._append([(number, event)])
        except StoreError as error:
            raise self._stopped(error, number=events[0][0]) from error

    def _write(self, events: list[Event]) -> None:
        receipts = self.book.append_batch(events, expected_head=self.expected_head)
        self.expected_head = None  # it was about the first batch
        self.appended += len(receipts)
        for receipt in receipts:
            self.acknowledge(receipt)

    def _stopped(self, error: LedgerError, *, number: int | None = None) -> "ProblemError":
        from cli.errors import ProblemError, describe

        problem = describe(error)
        what = problem.what if number is None else f"line {number}: {problem.what}"
        count = f"{self.appended} event{'' if self.appended == 1 else 's'}"
        meaning = f"the {count} before it stay in the ledger; nothing from this line on was written"
        if self.appended == 0:
            meaning = "nothing was written"
        where = str(self.book.path)
        return ProblemError(replace(problem, what=what, meaning=meaning, where=where))


def stdin_descriptor() -> int:
    """Return the descriptor of standard input, which is read unbuffered.

    Raises:
        MisuseError: It is a terminal: nobody types NDJSON.
    """
    if os.isatty(0):
        raise MisuseError("--stdin: standard input is a terminal; pipe NDJSON into it")
    return 0
