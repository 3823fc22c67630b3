"""Follow a run's metrics window by window under a histogram plan (gate.md, section 4).

No clock, no file, no torch: numbers in, checks out. The reference is the last
but one of the earlier windows that passed or were skipped. The last one is left
out because a fault may have begun in the middle of it, unseen: against a half
polluted reference the next window would look half as bad. And a window that
warned or failed never becomes a reference, so that a lasting fault keeps failing.

>>> from producers.gates.plan import Metric, Plan
>>> plan = Plan(preset="p", window=2, warmup=0, bins=4, metrics=(Metric("m", 0, 1, 1),),
...             epsilon=0.5, persistence=1, min_evidence=2)
>>> gate = HistogramGate(plan)
>>> for i in range(8):
...     gate.observe(i, {"m": i > 5})
...     check = gate.check(i + 1)
...     if check:
...         print(check.iter, check.decision)
2 skip
4 skip
6 pass
8 fail
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from producers.gates.blocks import SCALE, as_float, quantise
from producers.gates.check import Check, Evidence
from producers.gates.decide import count, decide
from producers.gates.plan import Plan
from producers.gates.windows import Windows

_LOSS = "loss"


@dataclass(frozen=True, slots=True)
class _Window:
    """What is kept of a window: each metric's counts, and the mean loss in nats, if any."""

    counts: Mapping[str, tuple[int, ...]]
    loss: Fraction | None


class HistogramGate:
    """The histogram gate of one run."""

    def __init__(self, plan: Plan, *, start: int = 0) -> None:
        """Begin with the first window from iteration *start* on, with an empty reference."""
        self._plan = plan
        self._windows = Windows(window=plan.window, interval=plan.metric_interval, start=start)
        self._names = {metric.name for metric in plan.metrics} | {_LOSS}
        self._seen: dict[str, dict[int, float]] = {name: {} for name in self._names}
        nothing = _Window({m.name: (0,) * plan.bins for m in plan.metrics}, None)
        self._accepted = (nothing, nothing)  # the last two windows that passed or were skipped
        self._history: list[bool] = []

    @property
    def plan(self) -> Plan:
        """What the gate was told at the start."""
        return self._plan

    def wants(self, iteration: int) -> bool:
        """Whether an observation at *iteration* would count."""
        return self._windows.wants(iteration)

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take in one iteration's metrics; of two values for one of them the first counts.

        Raises:
            MisuseError: The iteration is before the last check or after one that is due.
        """
        if self._windows.takes(iteration):
            for name in self._names & values.keys():
                self._seen[name].setdefault(iteration, as_float(values[name]))

    def check(self, done: int) -> Check | None:
        """Return a check if a window ends where *done* iterations are complete.

        Raises:
            MisuseError: The end of a window was passed over.
        """
        if not self._windows.ends(done):
            return None
        recent, reference = self._recent(), self._accepted[0]
        evidence = {
            name: Evidence(reference.counts[name], counts) for name, counts in recent.counts.items()
        }
        gain = _gain(reference.loss, recent.loss)
        check = decide(self._plan, evidence, self._history, iteration=done, gain=gain)
        if check.decision in {"pass", "skip"}:
            self._accepted = (self._accepted[1], recent)
        if check.evaluated:
            self._history.append(check.exceeds)
        self._windows.advance()
        for values in self._seen.values():
            values.clear()
        return check

    def anchor(self, iteration: int) -> None:
        """Take note of a declared change: nothing re-anchors this gate.

        Raises:
            MisuseError: The iteration is before the last check or after one that is due.
        """
        self._windows.admit(iteration)

    def _recent(self) -> _Window:
        counts = {
            m.name: count(self._seen[m.name].values(), m, self._plan.bins)
            for m in self._plan.metrics
        }
        found = [q for x in self._seen[_LOSS].values() if (q := quantise(x)) is not None]
        return _Window(counts, Fraction(sum(found), len(found) * SCALE) if found else None)


def _gain(before: Fraction | None, now: Fraction | None) -> Fraction | None:
    return None if before is None or now is None else before - now
