"""What a run measured, as digests: enough to compare a result file with it.

The values themselves would take hundreds of bytes an event, in a ledger of any length.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

import msgspec

__all__ = ["Metrics", "metrics_digest"]

_DIGEST = 16  # enough to tell whether two lists of metrics differ; this is no signature


class Metrics:
    """A running digest over all measured values, remembered after each event.

    It takes 24 bytes an event, where the values themselves would take hundreds.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._hash = hashlib.sha256()
        self._seqs = array("Q")
        self._totals = array("Q")
        self._digests = bytearray()

    def add(self, seq: int, iteration: int, values: Mapping[str, object]) -> None:
        """Take the values of one event."""
        for name in sorted(values):
            self._hash.update(_metric_bytes(iteration, name, values[name]))
        before = self._totals[-1] if self._totals else 0
        self._seqs.append(seq)
        self._totals.append(before + len(values))
        self._digests += self._hash.digest()[:_DIGEST]

    @property
    def events(self) -> int:
        """How many events were taken."""
        return len(self._seqs)

    def first_unlike(self, other: "Metrics") -> int | None:
        """Return the seq of the first event whose values are not those of its like in *other*.

        The two have as many events; ``None`` if all their values agree.
        """
        for seq, mine, theirs in zip(self._seqs, self.running(), other.running(), strict=True):
            if mine != theirs:
                return seq
        return None

    def running(self) -> Iterator[bytes]:
        """Yield the digest over all values up to each event."""
        for place in range(0, len(self._digests), _DIGEST):
            yield bytes(self._digests[place : place + _DIGEST])

    def until(self, stop: int | None) -> tuple[int, bytes]:
        """Return how many values the entries before *stop* hold, and their digest."""
        events = len(self._seqs) if stop is None else bisect_left(self._seqs, stop)
        if not events:
            return 0, hashlib.sha256().digest()[:_DIGEST]
        digest = bytes(self._digests[(events - 1) * _DIGEST : events * _DIGEST])
        return self._totals[events - 1], digest


def metrics_digest(values: Iterable[tuple[object, object, object]]) -> bytes:
    """Return the digest of (iteration, name, value), to compare with that of a replay."""
    hashed = hashlib.sha256()
    for iteration, name, value in values:
        hashed.update(_metric_bytes(iteration, name, value))
    return hashed.digest()[:_DIGEST]


def _metric_bytes(iteration: object, name: object, value: object) -> bytes:
    """The bytes by which a measured value is compared: 3 and 3.0 are one value."""
    if type(value) is int:
        value = float(value)
    return msgspec.json.encode((iteration, name, value)) + b"\n"
