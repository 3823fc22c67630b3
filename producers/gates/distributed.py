"""A training spread over several processes: who is who, what they tell each other.

Rank 0 is the *chief*: it alone records into the run's ledger. The others train
along, and hand in what they measured. All ranks run the same loop; what they
exchange per snapshot is one vector of numbers, per check one integer.

It fails loudly. A rank that dies, does not answer in time, trains something
else or counts other ranks makes every rank raise :class:`RankError`; no run goes
on with fewer ranks than it began with. gloo notices a dead peer at once and a
silent one after the timeout. torch is imported when a group is joined.
"""

import hashlib
import os
import re
import socket
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ledger import LedgerError, MisuseError
from producers.gates.ranks import mean

BACKEND = "gloo"
RENDEZVOUS = "LEDGER_RENDEZVOUS"
"""The directory in which the ranks that we started ourselves find each other."""

READY = "ready-"
"""In that directory, the beginning of the name of the file that says that a rank is there."""

_MOST_ANCESTORS = 8
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_LARGEST_WORLD = 1024
_DIGEST = 32
# What gloo and torch's stores say when a peer is gone or silent; they raise RuntimeError.
_TIMED_OUT = re.compile(r"[Tt]imed? ?out")
_LOST = re.compile(
    rf"gloo|Connection (?:closed|reset|refused)|{_TIMED_OUT.pattern}|Broken pipe|socket"
)


class RankError(LedgerError):
    """The ranks of a run lost each other, or do not agree.

    ``timed_out`` tells that one of them was silent for too long.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        """Say what happened."""
        super().__init__(message)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of this process among the ranks, as its environment gives it.

    *folder* is the rendezvous of ranks that we started; without it, torch's own
    variables (``MASTER_ADDR``, ``MASTER_PORT``) say where the ranks meet.
    """

    rank: int
    world_size: int
    local_rank: int
    folder: Path | None


def find_seat(ranks: int | None, env: Mapping[str, str]) -> Seat | None:
    """Return the seat that *env* gives this process, ``None`` if it is alone.

    ``torchrun`` sets these variables, and so do we for the ranks that we start.
    *ranks* is how many the user asked for, ``None`` if that was left open.

    Raises:
        MisuseError: The variables contradict each other, or *ranks*.
    """
    if "WORLD_SIZE" not in env and "RANK" not in env:
        return None
    rank, world_size, local_rank = (_whole(env, name) for name in _VARIABLES)
    if not rank < world_size or world_size > _LARGEST_WORLD:
        raise MisuseError(f"RANK is {rank} and WORLD_SIZE is {world_size}: that cannot be")
    if ranks is not None and ranks != world_size:
        raise MisuseError(f"--ranks {ranks}, but WORLD_SIZE says that there are {world_size}")
    folder = Path(env[RENDEZVOUS]) if RENDEZVOUS in env else None
    if folder is None and world_size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= env.keys():
        raise MisuseError("WORLD_SIZE is set, but not MASTER_ADDR and MASTER_PORT: use torchrun")
    return Seat(rank, world_size, local_rank, folder) if world_size > 1 else None


class Group:
    """All ranks of a run, seen from one of them. Every method is called by all of them alike."""

    def __init__(self, seat: Seat) -> None:
        """Use ``joined`` instead."""
        import torch
        from torch import distributed

        self._torch = torch
        self._dist = distributed
        self._seat = seat
        self.rank = seat.rank
        self.world_size = distributed.get_world_size()
        if self.world_size != seat.world_size:
            raise RankError(f"expected {seat.world_size} ranks, found {self.world_size}")

    @property
    def is_chief(self) -> bool:
        """Whether this rank records the run."""
        return self.rank == 0

    def as_data(self) -> dict[str, Any]:
        """Return the ``distributed`` member of ``run.planned``."""
        return {
            "distributed_mode": "ddp_wrapped",
            "world_size_observed": self.world_size,
            "backend": BACKEND,
            "rank": self.rank,
            "local_rank": self._seat.local_rank,
            "ddp_wrapped": True,
        }

    def wrap(self, module: Any) -> Any:
        """Return *module* as one replica of all: the chief's weights, averaged gradients."""
        return self._torch.nn.parallel.DistributedDataParallel(module)

    def agree(self, what: Mapping[str, object]) -> None:
        """Check that all ranks hold the same facts, by name, with the same text.

        Raises:
            RankError: A rank differs; the message names the rank and the fact.
        """
        names = sorted(what)
        mine = b"".join(hashlib.sha256(f"{name}={what[name]}".encode()).digest() for name in names)
        for rank, theirs in enumerate(self.collect(mine)):
            for place, name in enumerate(names):
                part = slice(place * _DIGEST, (place + 1) * _DIGEST)
                if theirs[part] != mine[part]:
                    raise RankError(f"rank {rank} and rank {self.rank} differ in their {name}")

    def mean(self, iteration: int, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each value over the ranks; NaN if it is not finite on one of them.

        One collective. It collects instead of summing, so that the mean is exact
        and the same whatever the order (see ``producers.gates.ranks.mean``).

        Raises:
            RankError: The ranks are at different iterations, or measure different things.
        """
        names = sorted(values)
        measured = float(zlib.crc32("\0".join(names).encode()))
        mine = [float(iteration), measured, *(float(values[name]) for name in names)]
        tensor = self._torch.tensor(mine, dtype=self._torch.float64)
        rows = [self._torch.empty_like(tensor) for _ in range(self.world_size)]
        self._dist.all_gather(rows, tensor)
        numbers = [row.tolist() for row in rows]
        for rank, row in enumerate(numbers):
            if row[:2] != mine[:2]:
                raise RankError(
                    f"rank {rank} measured something else: iteration {row[0]:.0f},"
                    f" where rank {self.rank} was at {iteration} with {', '.join(names)}"
                )
        return {name: mean([row[2 + i] for row in numbers]) for i, name in enumerate(names)}

    def hear(self, number: int = 0) -> int:
        """Return the chief's *number*; what the others hand in is ignored."""
        tensor = self._torch.tensor([number], dtype=self._torch.int64)
        self._dist.broadcast(tensor, src=0)
        return int(tensor[0])

    def collect(self, mine: bytes) -> tuple[bytes, ...]:
        """Return what each rank hands in, by rank; all must hand in the same number of bytes."""
        tensor = self._torch.tensor(list(mine), dtype=self._torch.uint8)
        rows = [self._torch.empty_like(tensor) for _ in range(self.world_size)]
        self._dist.all_gather(rows, tensor)
        return tuple(bytes(row.tolist()) for row in rows)


@contextmanager
def joined(seat: Seat, *, timeout: float) -> Iterator[Group]:
    """Join the other ranks for the block; each collective may take *timeout* seconds.

    Raises:
        RankError: The ranks did not find each other, or lost each other in the block.
    """
    from torch import distributed

    try:
        distributed.init_process_group(
            BACKEND,
            store=_store(distributed, seat),
            rank=seat.rank,
            world_size=seat.world_size,
            timeout=timedelta(seconds=timeout),
        )
        yield Group(seat)
    except RuntimeError as error:
        if _LOST.search(str(error)) is None:
            raise
        said = _first_line(error)
        raise RankError(
            f"rank {seat.rank} of {seat.world_size} lost the others: {said}",
            timed_out=_TIMED_OUT.search(said) is not None,
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def reopen_key(env: MutableMapping[str, str]) -> None:
    """Open the pipe that holds the run's key again, if it was closed on the way to us.

    A launcher such as ``torchrun`` closes the descriptors that it inherited in
    the processes that it starts, and keeps its own open. Only a process of the
    same user that the wrapper handed the same run to is asked, and only Linux
    can ask; elsewhere nothing happens, and attaching then says what is missing.
    """
    number, run_id = env.get("LEDGER_KEY_FD", ""), env.get("LEDGER_RUN_ID", "")
    wanted = {f"LEDGER_KEY_FD={number}".encode(), f"LEDGER_RUN_ID={run_id}".encode()}
    process = os.getpid()
    try:
        for _ in range(_MOST_ANCESTORS):
            process = _parent(process)
            if not wanted <= set(Path(f"/proc/{process}/environ").read_bytes().split(b"\0")):
                return
            pipe = f"/proc/{process}/fd/{number}"
            if _link(pipe).startswith("pipe:") and _link(pipe) != _link(f"/proc/self/fd/{number}"):
                env["LEDGER_KEY_FD"] = str(os.open(pipe, os.O_RDONLY))
                return
    except (OSError, ValueError):
        return


def _parent(process: int) -> int:
    # The name, in brackets, may hold anything; behind it come the state and the parent.
    return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[1])


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except FileNotFoundError:
        return ""


def _store(distributed: Any, seat: Seat) -> Any:
    """Return where the ranks meet: a file for ours, ``None`` for torch's own variables."""
    if seat.folder is None:
        return None
    loopback = {"lo", "lo0"} & {name for _, name in socket.if_nameindex()}
    if loopback:  # our ranks are on one machine: let nothing of it be seen outside
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())
    (seat.folder / f"{READY}{seat.rank}").touch()
    return distributed.FileStore(str(seat.folder / "store"), seat.world_size)


def _whole(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "0" if name == "LOCAL_RANK" else "")
    if not (text.isascii() and text.isdecimal()):
        raise MisuseError(f"{name} is {text!r}: expected a whole number, as torchrun sets it")
    return int(text)


def _first_line(error: BaseException) -> str:
    # gloo names its source file first and gives advice behind; neither helps the reader.
    said = re.sub(r"^\[[^\]]*\]\s*", "", str(error)).partition("\n")[0]
    return said.partition(". This is typically")[0]
