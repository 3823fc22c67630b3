"""Reading a whole store: fast where that is sure, exactly where it is not.

The chain sees every line once and in order, as part of a segment or on its own, so what is
found does not depend on which way a line was read, nor on how many processes read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from verifier.chain import Chain, Piece
from verifier.fast import Fast
from verifier.jsonl import JsonlFile
from verifier.lines import Blanks
from verifier.parallel import Block, Workers, blocks, read_block
from verifier.segments import Part, Segment
from verifier.sqlite import Row, SqliteFile, agrees, line_of, piece_of

__all__ = ["Plan", "read_jsonl", "read_sqlite"]

Progress = Callable[[int, int], None]

_KNOWN = 1  # line: the first is always read exactly, for it says what the ledger's id is


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read: sizes in bytes from which on it pays, and how many processes there may be."""

    jobs: int
    exact_below: int = 1 << 20
    fork_above: int = 8 << 20
    block: int = 1 << 20


def feed(chain: Chain, pieces: Iterable[Piece | Blanks]) -> None:
    """Have *chain* read *pieces* exactly."""
    for piece in pieces:
        if isinstance(piece, Blanks):
            chain.blanks(piece)
        else:
            chain.take(piece)


def read_jsonl(
    chain: Chain, file: JsonlFile, plan: Plan, *, witnessed: bool, progress: Progress
) -> None:
    """Read a whole JSONL file into *chain*."""
    if not file.size or file.size < plan.exact_below:
        feed(chain, file.pieces())
        progress(file.size, file.size)
        return
    first = next(blocks(file.descriptor, 0, file.size, 1))
    feed(chain, file.pieces(*first))
    reader = _Reader(chain, file, plan, progress)
    if chain.ledger_id is None or chain.line != _KNOWN:
        reader.exactly(first[1])
        return
    fast = Fast(chain.ledger_id, witnessed=witnessed)
    if plan.jobs > 1 and file.size > plan.fork_above:
        reader.with_workers(fast, first[1])
    else:
        reader.alone(fast, first[1])


class _Reader:
    def __init__(self, chain: Chain, file: JsonlFile, plan: Plan, progress: Progress) -> None:
        self._chain = chain
        self._file = file
        self._plan = plan
        self._progress = progress

    def exactly(self, start: int) -> None:
        for block in self._blocks(start):
            feed(self._chain, self._file.pieces(*block))
            self._progress(block[1], self._file.size)

    def alone(self, fast: Fast, start: int) -> None:
        for block in self._blocks(start):
            for public in _publics(self._chain):
                fast.learn(public)
            fast.hashes, fast.shift = not self._chain.ids.ascending, self._chain.shift
            self._take(block, read_block(fast, self._file.descriptor, block, self._plan.block))

    def with_workers(self, fast: Fast, start: int) -> None:
        file, plan = self._file, self._plan
        workers = Workers(fast, file.descriptor, size=plan.block, jobs=plan.jobs)
        try:
            workers.keys = _publics(self._chain)
            for block, parts in workers.read(self._blocks(start)):
                self._take(block, parts)
                workers.keys = _publics(self._chain)
                workers.hashes, workers.shift = not self._chain.ids.ascending, self._chain.shift
        finally:
            workers.close()

    def _blocks(self, start: int) -> Iterator[Block]:
        return blocks(self._file.descriptor, start, self._file.size, self._plan.block)

    def _take(self, block: Block, parts: list[Part]) -> None:
        for part in parts:
            if not (isinstance(part, Segment) and self._chain.absorb(part)):
                feed(self._chain, self._file.pieces(part.start, part.stop))
        self._progress(block[1], self._file.size)


def _publics(chain: Chain) -> list[bytes]:
    """Return the public keys of the register, the newest last."""
    return [key.public.raw for key in chain.register.keys.values()]


def read_sqlite(chain: Chain, file: SqliteFile, *, witnessed: bool, progress: Progress) -> None:
    """Read all rows of a database into *chain*.

    Raises:
        OSError: The database cannot be read.
        StoreFault: It is damaged; what was read before that is in *chain*.
    """
    total = file.count()
    fast: Fast | None = None
    for rows in file.blocks():
        if fast is None:
            chain.take(piece_of(rows.pop(0)))
            fast = Fast(chain.ledger_id or "", witnessed=witnessed)
        for public in _publics(chain):
            fast.learn(public)
        fast.hashes, fast.shift = not chain.ids.ascending, chain.shift
        for part in fast.lines([line_of(row) for row in rows]):
            some = rows[part.start : part.stop]
            if not (isinstance(part, Segment) and _agree(some, part) and chain.absorb(part)):
                feed(chain, map(piece_of, some))
        progress(chain.line, max(total, chain.line))


def _agree(rows: list[Row], segment: Segment) -> bool:
    return all(agrees(row, seq) for seq, row in enumerate(rows, segment.seq))
