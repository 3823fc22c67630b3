"""What each rank of a distributed run saw by itself, in a ledger of its own.

The chief's ledger holds the means over the ranks, which the gate decides from.
What went into a mean is in ``ranks/rank-K.jsonl`` of the run directory: a ledger
with its own genesis, signed by a key that only rank K has and that is never
written down. At the end the chief records where each of them stands
(``run.rank``), so none can be changed later without contradicting the chief's,
and :func:`mean` can be calculated again from them.

Its events are ``x.rank.opened`` (which run, which rank, the chief's ledger),
``x.rank.observed`` (``iter`` and ``values``) and ``x.rank.closed``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import isfinite, nan
from pathlib import Path, PurePosixPath
from typing import Any, Self

from ledger import Key, Ledger, LedgerError, MalformedError, Recorder, StoreError, number

FOLDER = "ranks"
_LARGEST = 2.0**63  # gate.md, section 1: what is not smaller counts as not finite


@dataclass(frozen=True, slots=True)
class RankHead:
    """How the ledger of one rank stands: the payload of ``run.rank``."""

    rank: int
    world_size: int
    path: str
    ledger: str
    size: int
    hash: str

    def as_data(self) -> dict[str, Any]:
        """Return the payload of ``run.rank``."""
        return asdict(self)

    def to_bytes(self) -> bytes:
        """Return what a rank tells the chief of it: id, size and hash, in 72 bytes."""
        return bytes.fromhex(self.ledger) + self.size.to_bytes(8, "big") + bytes.fromhex(self.hash)

    @classmethod
    def from_bytes(cls, said: bytes, rank: int, *, world_size: int) -> Self:
        """Return what *rank* told with ``to_bytes``."""
        ledger, size, head = said[:32], said[32:40], said[40:]
        place = rank_path(rank)
        return cls(rank, world_size, place, ledger.hex(), int.from_bytes(size, "big"), head.hex())


class RankLedger:
    """The pen of one rank."""

    def __init__(self, book: Ledger, *, run_id: str, rank: int, world_size: int) -> None:
        """Use ``begin`` instead."""
        self.outdir = book.path.parent.parent
        self._book = book
        self._subject = f"run/{run_id}/rank/{rank}"
        self._rank = rank
        self._world_size = world_size
        self._recorder = Recorder(book)

    @classmethod
    def begin(cls, outdir: Path, run_id: str, *, rank: int, world_size: int, chief: str) -> Self:
        """Make the ledger of *rank* in *outdir*; *chief* is the id of the chief's ledger.

        Raises:
            StoreError: There is one already, or the disk refused.
        """
        name = f"rank-{rank}-{run_id}"
        path = outdir / rank_path(rank)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: {error.strerror}") from error
        book = Ledger.create(path, name=name, key=Key.generate(name))
        made = cls(book, run_id=run_id, rank=rank, world_size=world_size)
        made._record(
            "opened", {"run_id": run_id, "rank": rank, "world_size": world_size, "chief": chief}
        )
        return made

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Record what this rank measured at *iteration*, in the background.

        Raises:
            LedgerError: It cannot be recorded, or an earlier event could not be.
        """
        shown = {name: number(float(value)) for name, value in values.items()}
        self._record("observed", {"iter": iteration, "values": shown})

    def finish(self, iters: int) -> RankHead:
        """Record the end, make everything durable, and return where the ledger stands.

        Raises:
            LedgerError: Something could not be recorded.
        """
        self._record("closed", {"iters": iters})
        self.flush()
        head = self._book.head
        return RankHead(
            rank=self._rank,
            world_size=self._world_size,
            path=rank_path(self._rank),
            ledger=self._book.id,
            size=head.size,
            hash=head.hash.hex(),
        )

    def flush(self) -> None:
        """Make everything recorded so far durable.

        Raises:
            LedgerError: Something could not be recorded.
        """
        self._recorder.flush()

    def close(self) -> None:
        """Make everything durable, and let go of the ledger.

        Raises:
            LedgerError: Something could not be recorded.
        """
        try:
            self._recorder.close()
        finally:
            self._book.close()

    def _record(self, what: str, data: dict[str, Any]) -> None:
        self._recorder.record(f"x.rank.{what}", self._subject, data)


def rank_path(rank: int) -> str:
    """Return where the ledger of *rank* is, in a run directory."""
    return str(PurePosixPath(FOLDER, f"rank-{rank}.jsonl"))


def read_rank(outdir: Path, rank: int, *, world_size: int) -> RankHead:
    """Read the ledger of *rank* from its first entry, and return where it stands.

    Its own signatures are not verified here; ``ledger verify`` does that.

    Raises:
        LedgerError: It is not there, damaged, or ends in a torn line.
    """
    path = outdir / rank_path(rank)
    try:
        with Ledger.open(path) as book:
            head, ledger = book.head, book.id  # opening read and linked every entry
    except LedgerError as error:
        raise StoreError(f"the ledger of rank {rank} cannot be read: {error}") from error
    return RankHead(rank, world_size, rank_path(rank), ledger, head.size, head.hash.hex())


def check_rank(outdir: Path, said: RankHead) -> None:
    """Check that the ledger of a rank, as it lies in *outdir*, stands where it was *said* to.

    Raises:
        LedgerError: It cannot be read, or stands elsewhere.
    """
    found = read_rank(outdir, said.rank, world_size=said.world_size)
    if found != said:
        raise MalformedError(
            f"the ledger of rank {said.rank} holds {found.size} entries up to {found.hash};"
            f" the rank left it at {said.size} entries up to {said.hash}"
        )


def mean(values: Sequence[float]) -> float:
    """Return the mean over the ranks: exact, and rounded once; NaN if one of them is not finite.

    >>> mean([0.1, 0.2, 0.3])
    0.2
    >>> mean([1.0, float("inf")])
    nan
    """
    if not all(isfinite(value) and abs(value) < _LARGEST for value in values):
        return nan
    return float(sum(map(Fraction, values), Fraction()) / len(values))
