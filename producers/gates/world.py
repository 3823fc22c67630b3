"""How many processes train together, and what they have to tell each other.

The training's own process group is used, whatever its backend. Without one, or
with one process, there is nobody to tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger import MisuseError
from producers.gates.ranks import mean


@dataclass(frozen=True, slots=True)
class World:
    """The place of this process among those that train; *device* holds what is exchanged."""

    rank: int
    size: int
    local_rank: int | None
    backend: str | None
    device: Any

    def as_data(self) -> dict[str, Any]:
        """Return the ``distributed`` member of ``run.planned``."""
        together = self.size > 1
        return {
            "distributed_mode": "ddp_wrapped" if together else "single_process",
            "world_size_observed": self.size,
            "backend": self.backend,
            "rank": self.rank,
            "local_rank": self.local_rank,
            "ddp_wrapped": together,
        }

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each value over all processes, which must have the same names.

        It is exact, rounded once, and NaN if a value is not finite anywhere.

        Raises:
            MisuseError: A process has other values.
        """
        if self.size == 1:
            return dict(values)
        import torch
        from torch import distributed

        names = sorted(values)
        mine = torch.tensor(
            [float(len(names)), *(values[name] for name in names)],
            dtype=torch.float64,
            device=self.device,
        )
        widest = torch.tensor([len(mine)], device=self.device)
        distributed.all_reduce(widest, op=distributed.ReduceOp.MAX)
        if int(widest) != len(mine):
            raise MisuseError(f"rank {self.rank} measured {len(names)} metrics, another rank more")
        rows = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(rows, mine)
        numbers = [row.tolist() for row in rows]
        return {name: mean([row[1 + i] for row in numbers]) for i, name in enumerate(names)}

    def hear(self, said: bool) -> bool:  # noqa: FBT001 - the one thing that is said
        """Return what the first process said."""
        if self.size == 1:
            return said
        import torch
        from torch import distributed

        flag = torch.tensor([int(said)], device=self.device)
        distributed.broadcast(flag, src=0)
        return bool(flag.item())

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


NONE = World(rank=0, size=1, local_rank=None, backend=None, device=None)
"""One process by itself."""


def find(args: Any) -> World:
    """Return the place of this process, from torch and the Trainer's *args*."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return NONE
    return World(
        rank=distributed.get_rank(),
        size=distributed.get_world_size(),
        local_rank=args.local_process_index,
        backend=str(distributed.get_backend()),
        device=args.device,
    )
