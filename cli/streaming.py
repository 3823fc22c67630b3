"""``ledger append --stdin``: lines of NDJSON into batches, acknowledged when durable."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from cli import inputs
from cli.errors import ProblemError, describe
from cli.lines import Lines
from ledger.entry import Event, Head
from ledger.errors import LedgerError, MisuseError, StoreError
from ledger.ledger import Ledger
from ledger.writer import Receipt


@dataclass
class Stream:
    """Appends lines; what was acknowledged stays, whatever comes after."""

    book: Ledger
    acknowledge: Callable[[Receipt], None]
    expected_head: Head | None
    appended: int = 0

    def run(self, descriptor: int, *, batch: int | None) -> None:
        """Append until the end of input.

        Raises:
            ProblemError: A line was refused: all before it are in the ledger, and none after.
        """
        for numbered in Lines(descriptor).batches(batch):
            self._take([(number, line) for number, line in numbered if line.strip()])

    def _take(self, numbered: list[tuple[int, bytes]]) -> None:
        events: list[tuple[int, Event]] = []
        fault: MisuseError | None = None
        for number, line in numbered:
            try:
                events.append((number, inputs.event(line, what=f"line {number}")))
            except MisuseError as error:
                fault = error
                break
        self._append(events)
        if fault is not None:
            raise self._stopped(fault, "") from fault

    def _append(self, events: list[tuple[int, Event]]) -> None:
        """Append a batch; if it is refused, find the line at fault and append what is before."""
        if not events:
            return
        try:
            receipts = self.book.append_batch(
                [event for _, event in events], expected_head=self.expected_head
            )
        except LedgerError as error:
            if len(events) == 1 or isinstance(error, StoreError):
                raise self._stopped(error, f"line {events[0][0]}: ") from error
            for number, event in events:
                self._append([(number, event)])
            return
        self.expected_head = None  # it was about the first batch
        self.appended += len(receipts)
        for receipt in receipts:
            self.acknowledge(receipt)

    def _stopped(self, error: LedgerError, place: str) -> ProblemError:
        problem = describe(error)
        meaning = "nothing was written"
        if self.appended:
            count = "1 event" if self.appended == 1 else f"{self.appended} events"
            meaning = f"{count} before it stay in the ledger; from this line on nothing was written"
        where = str(self.book.path)
        return ProblemError(
            replace(problem, what=place + problem.what, meaning=meaning, where=where)
        )


def stdin_descriptor() -> int:
    """Return the descriptor of standard input, which is read unbuffered.

    Raises:
        MisuseError: It is a terminal: nobody types NDJSON.
    """
    if os.isatty(0):
        raise MisuseError("--stdin: standard input is a terminal; pipe NDJSON into it")
    return 0
