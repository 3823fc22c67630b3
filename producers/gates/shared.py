"""One run under the gate, told by several ranks together.

Every rank runs the same loop over a :class:`SharedRun`, which :func:`shared_run`
opens. What a rank measured goes
into its own ledger and into the mean over all; the gate decides from the means,
on each rank by itself and with the same result, so that all stop together. Only
the chief records the run.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Any, Protocol

from ledger import Head, MisuseError
from producers.gates.check import Check
from producers.gates.distributed import Group, RankError, Seat, joined, reopen_key
from producers.gates.forecast import ForecastPlan
from producers.gates.plan import Plan
from producers.gates.ranks import RankHead, RankLedger, check_rank
from producers.gates.recording import GatedRun, Story
from producers.gates.workers import Lifeline, chief_of
from producers.runs.session import Session, attach

_DECISIONS = ("skip", "pass", "warn", "fail")


class RankStory(Story, Protocol):
    """Where the chief's events go; ``producers.runs.Session`` is one."""

    def rank(self, data: Mapping[str, Any]) -> None:
        """Record how a rank's ledger stands at the end."""


class SharedRun(GatedRun):
    """A gated run, seen from one of its ranks; all of them make the same calls."""

    def __init__(
        self, story: RankStory, plan: Plan | ForecastPlan, *, group: Group, ledger: RankLedger
    ) -> None:
        """Record nothing yet. The chief's *story* is its session, the others' an ``Onlooker``."""
        super().__init__(story, plan)
        self.group = group
        self._story = story
        self._ledger = ledger
        self.latest: Mapping[str, float] = {}

    def planned(self, data: Mapping[str, Any]) -> None:
        """Check that all ranks commit to the same, and record it with who they are.

        Raises:
            RankError: A rank would train something else.
            LedgerError: It could not be recorded.
        """
        self.group.agree({name: dumps(value, sort_keys=True) for name, value in data.items()})
        super().planned({**data, "distributed": self.group.as_data()})

    def observe(
        self, iteration: int, values: Mapping[str, float], *, even_unused: bool = False
    ) -> None:
        """Record what this rank measured in its own ledger, and the mean over all in the run's.

        Raises:
            RankError: The ranks are not at the same iteration.
            LedgerError: It could not be recorded.
        """
        if not (even_unused or self.wants(iteration)):
            return
        with self.measuring():
            self._ledger.observe(iteration, values)
            self.latest = self.group.mean(iteration, values)
        super().observe(iteration, self.latest, even_unused=even_unused)

    def check(self, done: int) -> Check | None:
        """Check as ``GatedRun`` does, and make sure that all ranks decided alike.

        Raises:
            RankError: This rank decided otherwise than the chief.
            LedgerError: It could not be recorded.
        """
        check = super().check(done)
        if check is not None:
            mine = _DECISIONS.index(check.decision)
            if self.group.hear(mine) != mine:
                raise RankError(f"rank {self.group.rank} decided otherwise at {check.iter}")
        return check

    def finish(self, iters: int, final_loss: float | None, stopped: str | None = None) -> None:
        """End every rank's ledger, record where each stands, and then the end itself.

        Raises:
            LedgerError: The ledger of a rank cannot be read, or stands elsewhere than the
                rank says; or something could not be recorded.
        """
        self.check(iters)
        if final_loss is not None:
            final_loss = self.group.mean(iters, {"loss": final_loss})["loss"]
        world = self.group.world_size
        told = self.group.collect(self._ledger.finish(iters).to_bytes())
        if self.group.is_chief:
            for rank, said in enumerate(told):
                head = RankHead.from_bytes(said, rank, world_size=world)
                check_rank(self._ledger.outdir, head)
                self._story.rank(head.as_data())
        super().finish(iters, final_loss, stopped)


class Onlooker:
    """The story of a rank that is not the chief: it records nothing."""

    def plan(self, data: Mapping[str, Any]) -> None:
        """Leave it to the chief."""

    def resumed(self, data: Mapping[str, Any]) -> None:
        """Leave it to the chief."""

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Leave it to the chief."""

    def check(self, data: Mapping[str, Any]) -> None:
        """Leave it to the chief."""

    def anchor(self, iteration: int, reason: str) -> None:
        """Leave it to the chief."""

    def inject(
        self, iteration: int, kind: str, *, fraction: float = 1.0, factor: float | None = None
    ) -> None:
        """Leave it to the chief."""

    def saved(self, iteration: int, path: str, *, sha256: str, size: int) -> Head:
        """Leave it to the chief; nowhere is where a ledger that records nothing stands."""
        del iteration, path, sha256, size
        return Head(0, bytes(32))

    def rank(self, data: Mapping[str, Any]) -> None:
        """Leave it to the chief."""

    def finish(
        self,
        iters: int,
        final_loss: float | None,
        *,
        overhead_s: float | None = None,
        stopped: str | None = None,
    ) -> None:
        """Leave it to the chief."""


@contextmanager
def shared_run(
    plan: Plan | ForecastPlan,
    seat: Seat | None,
    *,
    ranks: int,
    command: Sequence[str],
    timeout: float,
) -> Iterator[SharedRun]:
    """Open the run at this rank: the session if it is the chief, the group, a ledger of its own.

    Without a *seat* this process becomes the chief of *ranks*, and starts the
    others with *command*. A collective may take *timeout* seconds.

    Raises:
        MisuseError: No wrapper opened a run.
        RankError: The ranks did not come together, or lost each other in the block.
        LedgerError: Something could not be recorded.
    """
    # At once: a rank must not outlive a chief that goes before they have joined.
    lifeline = Lifeline() if seat is not None and seat.folder is not None else None
    with (
        _session(seat) as session,
        _group(seat, ranks, command, timeout=timeout) as group,
        _ledger(group, session) as ledger,
    ):
        if lifeline is not None:
            lifeline.flush_with(ledger.flush)
        yield SharedRun(session or Onlooker(), plan, group=group, ledger=ledger)


@contextmanager
def _session(seat: Seat | None) -> Iterator[Session | None]:
    """Attach to the run, if this rank is its chief."""
    if seat is not None and seat.rank > 0:
        yield None
        return
    if seat is not None:
        reopen_key(os.environ)
    with attach() as session:
        yield session


@contextmanager
def _group(
    seat: Seat | None, ranks: int, command: Sequence[str], *, timeout: float
) -> Iterator[Group]:
    """Join the ranks that somebody started, or start them."""
    if seat is not None:
        with joined(seat, timeout=timeout) as group:
            yield group
        return
    with chief_of(ranks, command, env=os.environ, timeout=timeout) as group:
        yield group


@contextmanager
def _ledger(group: Group, session: Session | None) -> Iterator[RankLedger]:
    """Make this rank's own ledger, which names the chief's."""
    missing = [name for name in ("LEDGER_OUTDIR", "LEDGER_RUN_ID") if name not in os.environ]
    if missing:
        raise MisuseError(f"{', '.join(missing)} not set: start the launcher with ledger run")
    mine = bytes(32) if session is None else bytes.fromhex(session.book.id)
    ledger = RankLedger.begin(
        Path(os.environ["LEDGER_OUTDIR"]),
        os.environ["LEDGER_RUN_ID"],
        rank=group.rank,
        world_size=group.world_size,
        chief=group.collect(mine)[0].hex(),
    )
    try:
        yield ledger
    finally:
        ledger.close()
