"""The second look: doubled ids and the entries of compromised keys.

Both are faults that nothing else depends on (``format.md`` section 5: a key event acts
whether or not its id was used before), so they can be found after all else. That way the
first reading keeps no state per entry.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from verifier.chain import Chain, Piece
from verifier.entries import HEADER, Entry, leaf_hash, read_entry
from verifier.lines import Blanks
from verifier.tree import Tree

__all__ = ["ChangedError", "look_again"]

Pieces = Callable[[], Iterable[Piece | Blanks]]

MAX_SUSPECTS = 1 << 17  # more doubled ids than that are only counted: memory is bounded


class ChangedError(OSError):
    """The ledger was changed while it was read, other than by appending to it."""


def look_again(chain: Chain, pieces: Pieces) -> None:
    """Report doubled ids and entries of compromised keys, reading again only if need be.

    Raises:
        ChangedError: The second reading met other bytes than the first.
    """
    if chain.ids.missing and not chain.ids.ascending:
        chain.ids.gather(_names(pieces(), chain.ids.missing))
    suspects = chain.ids.suspects()
    surplus = len(suspects) - MAX_SUSPECTS
    if surplus > 0:
        chain.findings.count("id.duplicate", surplus)
        suspects = set(islice(suspects, MAX_SUSPECTS))
    if suspects or chain.compromised:
        _SecondLook(chain, suspects).read(pieces())


def _names(pieces: Iterable[Piece | Blanks], lines: int) -> Iterator[bytes]:
    """Yield the ids of all entries in the first *lines* that may be readable."""
    for line, piece in _numbered(pieces):
        if line > lines:
            return
        header = HEADER.match(piece.frame.entry) if piece.frame else None
        if header:
            yield header.group(4)


def _numbered(pieces: Iterable[Piece | Blanks]) -> Iterator[tuple[int, Piece]]:
    line = 0
    for piece in pieces:
        if isinstance(piece, Blanks):
            line += piece.number
        else:
            line += 1
            yield line, piece


class _SecondLook:
    def __init__(self, chain: Chain, suspects: set[int]) -> None:
        self._chain = chain
        self._suspects = suspects
        self._compromised = {key.encode(): v for key, v in chain.compromised.items()}
        self._seen: set[bytes] = set()

    def read(self, pieces: Iterable[Piece | Blanks]) -> None:
        tree = Tree()
        for line, piece in _numbered(pieces):
            if piece.frame is not None:
                tree.append(leaf_hash(piece.frame.entry))
                self._look(piece.frame.entry, line)
        root = self._chain.tree.root()
        if root is not None and root != tree.root():
            raise ChangedError("the ledger was changed while it was read")

    def _look(self, raw: bytes, line: int) -> None:
        header = HEADER.match(raw)
        if header is None:
            return
        suspect = hash(header.group(4)) in self._suspects
        if not suspect and header.group(6) not in self._compromised:
            return
        entry = read_entry(raw)
        if not isinstance(entry, Entry):
            return
        if suspect:
            self._look_at_id(entry, line)
        spans = self._compromised.get(header.group(6), [])
        at = bisect_left(spans, (line, 0))  # the first that reaches this line reaches back most
        if at < len(spans) and spans[at][1] <= entry.seq:
            self._chain.findings.add(
                "key.compromised", entry.seq, line, "signed by a key that may have been stolen"
            )

    def _look_at_id(self, entry: Entry, line: int) -> None:
        if entry.id in self._seen:
            self._chain.findings.add("id.duplicate", entry.seq, line, "the id was used before")
        self._seen.add(entry.id)
