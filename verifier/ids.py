"""Whether an id was used before, in memory that does not grow with ascending ids.

As long as the ids of each block are above all before, nothing is kept. From the first block
that is not, 64-bit hashes are kept in sorted runs, and equal ones make *suspects*: the
ledger is then read a second time to find out which entries really share an id.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

__all__ = ["Ids"]

BLOCK = 4096
SMALL = 1 << 16  # up to so many ids their hashes are kept anyway, for it costs nothing
_RANGES = 16
_SPAN = 2**64 // _RANGES
_LEAST = -(2**63)


class Ids:
    """The ids of the readable entries, in their order."""

    def __init__(self) -> None:
        """Start with none."""
        self.ascending = True
        self.missing = 0  # the ids of so many first lines were not kept and must be gathered
        self._greatest = b""
        self._runs: list[array[int]] = []
        self._kept = 0
        self._dropped = 0  # the same as missing, would the order break now
        self._pending: list[bytes] = []

    def add(self, name: bytes, line: int) -> None:
        """Take the id of the entry at *line*."""
        self._pending.append(name)
        if len(self._pending) == BLOCK:
            self.flush(line)

    def flush(self, line: int) -> None:
        """Take in what :meth:`add` held back; *line* is the last line read."""
        names, self._pending = self._pending, []
        if not names:
            return
        unique = len(set(names)) == len(names)
        self._order(min(names), max(names), unique=unique)
        self._keep(array("q", sorted(map(hash, names))), line)

    def add_block(self, least: bytes, greatest: bytes, *, hashes: bytes, line: int) -> None:
        """Take ids without doubles, between two bounds, the last of them at *line*.

        *hashes* may be empty: then they are gathered later if it turns out that they matter.
        """
        self._order(least, greatest, unique=True)
        if hashes:
            self._keep(array("q", hashes), line)
        elif self.ascending:
            self._forget(line)
        else:
            self.missing = line
            self._runs, self._kept = [], 0

    def _order(self, least: bytes, greatest: bytes, *, unique: bool) -> None:
        if self.ascending and unique and least > self._greatest:
            self._greatest = greatest
        elif self.ascending:
            self.ascending = False
            self.missing = self._dropped

    def _keep(self, run: "array[int]", line: int) -> None:
        self._runs.append(run)
        self._kept += len(run)
        if self.ascending and self._kept > SMALL:
            self._forget(line)

    def _forget(self, line: int) -> None:
        self._dropped = line
        self._runs, self._kept = [], 0

    def gather(self, names: Iterable[bytes]) -> None:
        """Take the ids of the first :attr:`missing` lines, read once more."""
        for block in _blocks(names):
            self._runs.append(array("q", sorted(map(hash, block))))

    def suspects(self) -> set[int]:
        """Return the hashes that came more than once, looked at one sixteenth at a time."""
        found: set[int] = set()
        if self.ascending:
            return found
        for number in range(_RANGES):
            low = _LEAST + number * _SPAN
            seen: set[int] = set()
            for run in self._runs:
                part = run[bisect_left(run, low) : bisect_left(run, low + _SPAN)]
                before = len(seen)
                if not seen.isdisjoint(part):
                    found.update(seen.intersection(part))
                seen.update(part)
                if len(seen) - before < len(part):
                    found.update(a for a, b in pairwise(part) if a == b)
        return found


def _blocks(names: Iterable[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for name in names:
        block.append(name)
        if len(block) == BLOCK:
            yield block
            block = []
    yield block
