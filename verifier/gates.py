"""Decide the gate checks of a run again, from its plan and the metrics on record.

Written from docs/reference/gate.md alone. The :class:`Referee` is told the events of a run
that have a possible place in its story; it knows which window is due, lets an engine decide
it, and compares what is on record with what comes out, member by member.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from verifier.findings import Fault
from verifier.plan import is_forecast
from verifier.schema import clip

__all__ = ["Recount", "Referee"]

_NAMED = 5
_MOST_AT_ONCE = 64  # windows without a check that are decided all the same, to go on behind them
_MOST_IN_A_RUN = 4_096


class Engine(Protocol):
    """Decides windows; it is told of none but those that are due."""

    def observe(self, iteration: int, values: Mapping[str, object]) -> None:
        """Take an observation in the window that is due, at a multiple of the interval."""
        ...

    def anchor(self, iteration: int) -> None:
        """Take a declared change in the window that is due."""
        ...

    def decide(self, end: int) -> Mapping[str, object]:
        """Decide the window that ends at *end*, and return the payload of its check."""
        ...


@dataclass(frozen=True, slots=True)
class Recount:
    """How many gate checks a run has on record, and how many of them were decided again.

    ``anchors`` counts the changes that the runner declared, after each of which the gate
    begins its history anew. ``unobserved`` names metrics of the plan that nobody observed:
    the gate did not look at them.
    """

    checked: int = 0
    decided: int = 0
    anchors: int = 0
    unobserved: tuple[str, ...] = ()


class Referee:
    """Follows one run whose plan can be followed."""

    def __init__(self, gate: Mapping[str, Any]) -> None:
        """Start before the first window of the run."""
        self.decided = 0
        self.anchors = 0
        self._window: int = gate["window"]
        self._interval: int = gate["metric_interval"]
        self._begin = 0
        self.unobserved = set(gate["metrics"] if is_forecast(gate) else gate["ranges"])
        self._seen = 0  # iterations that were begun, as far as the observations tell
        self._engine: Engine | None = _engine(gate)
        self._unchecked = 0

    def follow(self, event_type: str, data: Mapping[str, Any]) -> list[Fault]:
        """Take the next event of the run; return what is wrong about it."""
        judge = _JUDGES.get(event_type)
        return [] if judge is None or self._engine is None else judge(self, data)

    def _resume(self, data: Mapping[str, Any]) -> list[Fault]:
        self._begin = -(-data["iter"] // self._window) * self._window  # section 2
        return []

    def _observe(self, data: Mapping[str, Any]) -> list[Fault]:
        faults = self._reach(data["iter"])
        self._seen = max(self._seen, data["iter"] + 1)
        self.unobserved.difference_update(data["values"])
        counts = data["iter"] >= self._begin and data["iter"] % self._interval == 0
        if counts and self._engine is not None:
            self._engine.observe(data["iter"], data["values"])
        return faults

    def _anchor(self, data: Mapping[str, Any]) -> list[Fault]:
        self.anchors += 1
        faults = self._reach(data["iter"])
        if self._engine is not None:
            self._engine.anchor(data["iter"])
        return faults

    def _check(self, data: Mapping[str, Any]) -> list[Fault]:
        found, due = data["iter"], self._begin + self._window
        if found < due or found % self._window:
            said = f"iter: expected {due}, the end of the window that is due, found {found}"
            return [Fault("gate.decision", said)]
        faults = self._reach(found - 1)
        if self._engine is None:
            return faults
        self.decided += 1
        differing = list(islice(_differences(self._decide(), data), _NAMED))
        if differing:
            said = f"the check at iter {found} is not what its plan and metrics give: "
            faults.append(Fault("gate.decision", said + "; ".join(differing)))
        return faults

    def _finish(self, data: Mapping[str, Any]) -> list[Fault]:
        # Who says that fewer iterations were done than were observed hides the last window.
        faults = self._reach(max(data["iters"], self._seen))
        self._engine = None  # nothing can follow, and there may be many runs
        return faults

    def _close(self, data: Mapping[str, Any]) -> list[Fault]:
        """A runner that ended well came to its end, whether or not it says so; a killed one not."""
        faults = self._reach(self._seen) if data["status"] == "success" else []
        self._engine = None  # as above
        return faults

    def _reach(self, iteration: int) -> list[Fault]:
        """Report the windows that end at *iteration* or before, and have no check on record."""
        due = self._begin + self._window
        passed = max(0, (iteration - self._begin) // self._window)
        if not passed:
            return []
        self._unchecked += passed
        if passed > _MOST_AT_ONCE or self._unchecked > _MOST_IN_A_RUN:
            self._engine = None
        else:
            for _ in range(passed):
                self._decide()
        which = f"the check at iter {due}" if passed == 1 else f"{passed} checks from iter {due} on"
        return [Fault("gate.missing", f"iteration {iteration} is reached without {which}")]

    def _decide(self) -> Mapping[str, object]:
        self._begin += self._window
        if self._engine is None:  # the callers have looked
            raise AssertionError
        return self._engine.decide(self._begin)


_JUDGES: Mapping[str, Callable[[Referee, Mapping[str, Any]], list[Fault]]] = {
    "run.resumed": Referee._resume,  # noqa: SLF001 - the table belongs to the class
    "metric.observed": Referee._observe,  # noqa: SLF001 - as above
    "gate.anchored": Referee._anchor,  # noqa: SLF001 - as above
    "gate.checked": Referee._check,  # noqa: SLF001 - as above
    "run.finished": Referee._finish,  # noqa: SLF001 - as above
    "run.closed": Referee._close,  # noqa: SLF001 - as above
}


def _engine(gate: Mapping[str, Any]) -> Engine:
    # Loaded here because most ledgers hold no plan, and need not wait for exact fractions.
    if is_forecast(gate):
        from verifier.forecast import Forecast  # noqa: PLC0415 - as above

        return Forecast(gate)
    from verifier.histogram import Histogram  # noqa: PLC0415 - as above

    return Histogram(gate)


def _differences(
    expected: Mapping[str, object], found: Mapping[str, object], at: str = ""
) -> Iterator[str]:
    """Say in which members *found* differs; one that is not there counts as ``null``."""
    for name in sorted(expected.keys() | found.keys()):
        yield from _compare(expected.get(name), found.get(name), at + clip(name))


def _compare(expected: object, found: object, at: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        yield from _differences(expected, found, f"{at}.")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _compare(one, other, f"{at}.{place}")
    elif not _is_same(expected, found):
        yield f"{at}: expected {clip(expected)}, found {clip(found)}"


def _is_same(expected: object, found: object) -> bool:
    """Compare JSON values that are not both objects or both arrays: 1 is 1.0, and true is none."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return expected == found
    return type(expected) is type(found) and expected == found
