"""Lines from a pipe, a batch at a time: as many as are ready, never waiting for more."""

import os
import select
from collections.abc import Iterator

from cli.inputs import MAX_INPUT

_CHUNK = 1 << 16
READY = 1000
"""The most lines of a batch whose size nobody chose."""


class Lines:
    """Numbered lines of a descriptor, without their line ends."""

    def __init__(self, descriptor: int) -> None:
        """Read nothing yet."""
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._rest = b""
        self._ended = False
        self._number = 0

    def batches(self, size: int | None) -> Iterator[list[tuple[int, bytes]]]:
        """Yield non-empty lists of (line number, line), each line once.

        With *size*, a batch has that many lines, and the last the rest.
        """
        while True:
            self._fill(size)
            if not self._lines:
                return
            take = self._lines[: size or READY]
            del self._lines[: len(take)]
            first, self._number = self._number + 1, self._number + len(take)
            yield list(enumerate(take, first))

    def _fill(self, size: int | None) -> None:
        """Wait for one line, or for *size*; then take what else has arrived."""
        while not self._ended and len(self._lines) < (size or 1):
            self._read()
        while size is None and not self._ended and len(self._lines) < READY and self._ready():
            self._read()

    def _ready(self) -> bool:
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def _read(self) -> None:
        chunk = os.read(self._descriptor, _CHUNK)
        if chunk:
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self._lines += whole
            if len(self._rest) <= MAX_INPUT:
                return
        self._ended = True  # a line that no event can have is the last that is looked at
        if self._rest:
            self._lines.append(self._rest)
            self._rest = b""
