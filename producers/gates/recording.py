"""A gate and a session together: the one way in which every loop records.

A training loop of any kind does four things: it commits to its plan, hands in
what it measured, asks for a check when iterations are complete, and says how it
ended. ``GatedRun`` keeps what the gate saw and what the ledger holds the same:
the gate decides from nothing that is not on record.

    run = GatedRun(session, plan)
    run.planned({"max_iters": 1000, "seed": 0, "model": {}, "data": corpus.as_data()})
    for i in range(1000):
        loss = step(i)
        if run.wants(i):
            run.observe(i, {"loss": loss})
        check = run.check(i + 1)
    run.finish(1000, loss)
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from ledger import Head, MisuseError
from producers.gates.check import Check
from producers.gates.gate import AnyPlan, open_gate

_MOST_SKIPPED = 10_000  # windows


class Story(Protocol):
    """Where a run's events go; ``producers.runs.Session`` is one."""

    def plan(self, data: Mapping[str, Any]) -> None:
        """Record what the run commits to."""

    def resumed(self, data: Mapping[str, Any]) -> None:
        """Record the weights that the run goes on from."""

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Record one iteration's metrics."""

    def check(self, data: Mapping[str, Any]) -> None:
        """Record a gate check; it must be durable on return."""

    def anchor(self, iteration: int, reason: str) -> None:
        """Record a change that is no fault."""

    def inject(
        self, iteration: int, kind: str, *, fraction: float = 1.0, factor: float | None = None
    ) -> None:
        """Record that a fault begins."""

    def saved(self, iteration: int, path: str, *, sha256: str, size: int) -> Head:
        """Record that weights were saved, and return where the ledger stands with it."""

    def finish(
        self,
        iters: int,
        final_loss: float | None,
        *,
        overhead_s: float | None = None,
        stopped: str | None = None,
    ) -> None:
        """Record the end."""


class GatedRun:
    """One run under the gate. Not for several threads at once."""

    def __init__(self, session: Story, plan: AnyPlan) -> None:
        """Record nothing yet: ``planned`` comes first."""
        self._session = session
        self._plan = plan
        self._gate = open_gate(plan)
        self._planned = False
        self._begun = False
        self._finished = False
        self._start = 0
        self._seen = 0
        self._done: int | None = None
        self._last: Check | None = None
        self._loss: float | None = None
        self._depth = 0
        self.overhead_s = 0.0

    @property
    def plan(self) -> AnyPlan:
        """What the gate decides by."""
        return self._plan

    @property
    def last(self) -> Check | None:
        """The last check, which is on record."""
        return self._last

    @property
    def done(self) -> int:
        """How many iterations are complete, as far as the loop has said."""
        return max(self._start if self._done is None else self._done, self._seen)

    @property
    def loss(self) -> float | None:
        """The last loss that was observed."""
        return self._loss

    @property
    def finished(self) -> bool:
        """Whether the end is on record."""
        return self._finished

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time of the block as overhead: measure in it, if you can say where."""
        self._depth += 1
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:  # an inner block is in the time of the outer one
                self.overhead_s += time.perf_counter() - begun

    def planned(self, data: Mapping[str, Any]) -> None:
        """Commit to the plan: ``run.planned``, durable. *data* needs no ``gate``: it is added.

        Raises:
            MisuseError: The run has a plan on record, or *data* names another gate.
            LedgerError: It could not be recorded.
        """
        gate = self._plan.as_data()
        if self._planned:
            raise MisuseError("the run has a plan on record already: it cannot be changed")
        if data.get("gate", gate) != gate:
            raise MisuseError("the plan to record names another gate than the run's")
        with self.measuring():
            self._session.plan({"gate": gate, **data})
        self._planned = True

    def resumed(
        self, iteration: int, from_run: str, *, sha256: str, head_size: int, head_hash: str
    ) -> None:
        """Go on from weights saved at *iteration*: ``run.resumed``, durable.

        The gate's history begins anew, at the first window that begins at or after
        *iteration*. ``producers.gates.resume`` checks the weights first.

        Raises:
            MisuseError: The run has observations already, or no plan on record.
            LedgerError: It could not be recorded.
        """
        self._require_plan()
        if self._begun or self._done is not None:
            raise MisuseError("a run is resumed before its first observation, not after")
        with self.measuring():
            gate = open_gate(self._plan, start=iteration)
            self._session.resumed(
                {
                    "from_run": from_run,
                    "iter": iteration,
                    "sha256": sha256,
                    "head_size": head_size,
                    "head_hash": head_hash,
                }
            )
            self._gate = gate
            self._start = iteration

    def wants(self, iteration: int) -> bool:
        """Tell whether the gate uses an observation at *iteration* (from 0)."""
        return self._gate.wants(iteration)

    def observe(
        self, iteration: int, values: Mapping[str, float], *, even_unused: bool = False
    ) -> None:
        """Take in and record what was measured at *iteration*, in the background.

        Where the gate does not want an observation, nothing is recorded unless
        *even_unused*.

        Raises:
            MisuseError: There is no plan on record, a later iteration was observed or
                checked, or a check that is due was not made.
            LedgerError: It could not be recorded.
        """
        self._require_plan()
        with self.measuring():
            if not (even_unused or self._gate.wants(iteration)):
                return
            numbers = {name: float(value) for name, value in values.items()}
            if iteration < max(self._start, self._done or 0, self._seen - 1):
                raise MisuseError(
                    f"iteration {iteration} comes too late: iterations go forward, and"
                    f" {self.done} are observed or checked already"
                )
            self._gate.observe(iteration, numbers)
            self._session.observe(iteration, numbers)
            self._begun = True
            self._seen = iteration + 1
            self._loss = numbers.get("loss", self._loss)

    def check(self, done: int) -> Check | None:
        """Say that *done* iterations are complete; return the check, if a window ends here.

        It is on record, durably, when it is returned: act upon it then. Said again, it
        does nothing.

        Raises:
            MisuseError: There is no plan on record, or a window was passed over.
            LedgerError: It could not be recorded.
        """
        self._require_plan()
        if self._done is not None and done <= self._done:
            return None
        with self.measuring():
            check = self._gate.check(done)
            if check is not None:
                self._session.check(check.as_data())
                self._last = check
            self._done = done
        return check

    def advance(self, done: int) -> tuple[Check, ...]:
        """Make every check that is due after *done* iterations, for a loop that leaves some out.

        Raises:
            MisuseError: There is no plan on record, or *done* is very far ahead.
            LedgerError: It could not be recorded.
        """
        window = self._plan.window
        begun = self._start if self._done is None else self._done
        due = range((begun // window + 1) * window, done, window)
        if len(due) > _MOST_SKIPPED:
            raise MisuseError(
                f"iteration {done} is {len(due)} windows ahead of {begun}: is it a typing error?"
            )
        return tuple(check for t in (*due, done) if (check := self.check(t)) is not None)

    def anchor(self, iteration: int, reason: str) -> None:
        """Declare a change that is no fault: from *iteration* on the history begins anew. Durable.

        Raises:
            MisuseError: There is no plan on record, or the gate refuses the iteration.
            LedgerError: It could not be recorded.
        """
        self._require_plan()
        with self.measuring():
            self._gate.anchor(iteration)
            self._session.anchor(iteration, reason)

    def inject(
        self, iteration: int, kind: str, *, fraction: float = 1.0, factor: float | None = None
    ) -> None:
        """Record that the run begins to corrupt itself. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._require_plan()
        with self.measuring():
            self._session.inject(iteration, kind, fraction=fraction, factor=factor)

    def saved(self, iteration: int, path: str, *, sha256: str, size: int) -> Head:
        """Record ``run.saved``, durably, and return where the ledger stands with it.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._require_plan()
        with self.measuring():
            return self._session.saved(iteration, path, sha256=sha256, size=size)

    def finish(self, iters: int, final_loss: float | None, stopped: str | None = None) -> None:
        """Record the end after *iters* complete iterations, and a check that is due there. Durable.

        Raises:
            MisuseError: There is no plan on record, or a window was passed over.
            LedgerError: It could not be recorded.
        """
        self.check(iters)
        overhead = round(self.overhead_s, 6)
        self._session.finish(iters, final_loss, overhead_s=overhead, stopped=stopped)
        self._finished = True

    def _require_plan(self) -> None:
        if not self._planned:
            raise MisuseError("a run commits to its plan first: call planned() before anything")
