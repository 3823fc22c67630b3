"""Default event ids: UUIDv7 (RFC 9562 section 5.7), ascending within a process.

Ascending ids let a verifier rule out duplicates without remembering each of them.
"""

import os
import time

_COUNTER_BITS = 48


class Ids:
    """A source of ids, each greater than the one before."""

    def __init__(self) -> None:
        """Start anywhere; the first id is made from the clock."""
        self._milliseconds = -1
        self._prefix = ""
        self._next = 0

    def take(self, count: int) -> list[str]:
        """Return *count* new ids.

        The last 48 bits start at random and count up within a batch, as section 6.2
        of the RFC allows (method 2); 26 more random bits keep writers apart.
        """
        milliseconds = time.time_ns() // 1_000_000
        if milliseconds > self._milliseconds:
            self._milliseconds = milliseconds
            random = int.from_bytes(os.urandom(10), "big")
            self._prefix = _prefix(milliseconds, random >> 54)
            # The top bit stays clear, so that counting up cannot run over.
            self._next = random & (1 << _COUNTER_BITS - 1) - 1
        start, self._next = self._next, self._next + count
        prefix = self._prefix
        return [f"{prefix}{value:012x}" for value in range(start, start + count)]


def _prefix(milliseconds: int, random: int) -> str:
    """Return all but the last 48 bits: the time, version 7, variant 10, and 26 random bits."""
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:]}-7{random >> 14:03x}-{random & 0x3FFF | 0x8000:04x}-"
