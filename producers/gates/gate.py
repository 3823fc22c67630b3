"""Follow a run's metrics window by window, and check the gate at the end of each.

No clock, no file, no torch: numbers in, checks out. The reference is the last
but one of the earlier windows that did not exceed. The last one is left out
because a fault may have begun in the middle of it, unseen: against a half
polluted reference the next window would look half as bad. And a window that
warned or failed never becomes a reference, so that a lasting fault keeps failing.

>>> from producers.gates.plan import Metric, Plan
>>> plan = Plan(preset="p", window=2, warmup=0, bins=4, metrics=(Metric("m", 0, 1, 1),),
...             epsilon=0.5, persistence=1, min_evidence=2)
>>> gate = Gate(plan)
>>> checks = [gate.observe(i, {"m": i > 5}) for i in range(8)]
>>> [(check.iter, check.decision) for check in checks if check]
[(2, 'skip'), (4, 'skip'), (6, 'pass'), (8, 'fail')]
"""

from collections.abc import Mapping

from ledger.errors import MisuseError
from producers.gates.decide import Check, Evidence, count, decide
from producers.gates.plan import Plan

_Counts = Mapping[str, tuple[int, ...]]


class Gate:
    """The training gate of one run."""

    def __init__(self, plan: Plan) -> None:
        """Start at iteration 0, with an empty reference."""
        self._plan = plan
        self._next = 0
        self._window: list[Mapping[str, float]] = []
        nothing: _Counts = {m.name: (0,) * plan.bins for m in plan.metrics}
        self._accepted = (nothing, nothing)  # the last two windows that did not exceed
        self._history: list[str] = []

    @property
    def plan(self) -> Plan:
        """What the gate was told at the start."""
        return self._plan

    def observe(self, iteration: int, values: Mapping[str, float]) -> Check | None:
        """Take in one iteration's metrics; return a check if they complete a window.

        Raises:
            MisuseError: The iteration is not the next one, or a declared metric is
                missing. A gap would make a window look whole that is not.
        """
        if iteration != self._next:
            raise MisuseError(f"the gate expects iteration {self._next}, not {iteration}")
        missing = [m.name for m in self._plan.metrics if m.name not in values]
        if missing:
            raise MisuseError(f"iteration {iteration} has no value of {', '.join(missing)}")
        self._next += 1
        if iteration % self._plan.metric_interval == 0:
            self._window.append(dict(values))
        return self._check() if self._next % self._plan.window == 0 else None

    def _check(self) -> Check:
        recent: _Counts = {
            m.name: count((row[m.name] for row in self._window), m, self._plan.bins)
            for m in self._plan.metrics
        }
        reference = self._accepted[0]
        evidence = {name: Evidence(reference[name], recent[name]) for name in recent}
        check = decide(self._plan, evidence, self._history, iteration=self._next)
        if check.decision in {"pass", "skip"}:
            self._accepted = (self._accepted[1], recent)
        self._history.append(check.decision)
        self._window = []
        return check
