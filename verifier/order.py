"""Which event of a run may come when, and at which iteration.

A run is opened, planned, perhaps resumed, then measured and checked, then finished by its
runner and closed by its wrapper, each once. What people judge of it may come at any time
after it was opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ONCE", "Order"]

ONCE = frozenset({"run.opened", "run.planned", "run.resumed", "run.finished", "run.closed"})
_MEASURING = frozenset({"metric", "gate", "fault"})
_NEEDS_A_PLAN = frozenset({"gate.checked", "gate.anchored", "run.resumed", "run.saved", "run.rank"})
_NOT_AFTER_THE_END = frozenset(
    {"run.planned", "run.finished", "run.resumed", "run.saved", "run.rank"}
)
_BEFORE_MEASURING = {
    "run.planned": "the plan comes after the first metric, gate check or fault",
    "run.resumed": "the run resumes after its first metric, gate check or fault",
}


@dataclass(slots=True)
class Order:
    """How far the story of one run has come."""

    seen: set[str] = field(default_factory=set)
    _ended: str | None = None
    _measured: bool = False
    _last_gate: int = -1
    _last_metric: int = -1
    _judged: bool = False

    def follow(self, event_type: str, data: Mapping[str, Any] | None) -> str | None:
        """Take the next event; return why it is not possible here, if it is not.

        *data* is ``None`` when it does not fit its schema: such an event has its place all
        the same.
        """
        fault = self._forbidden(event_type) or self._iteration(event_type, data)
        self._advance(event_type)
        return fault

    def _forbidden(self, event_type: str) -> str | None:
        family = event_type.partition(".")[0]
        if event_type in ONCE and event_type in self.seen:
            return "the run had one before"
        if event_type != "run.opened" and "run.opened" not in self.seen:
            return "the run was not opened before"
        if self._ended and (family in _MEASURING or event_type in _NOT_AFTER_THE_END):
            return f"the run had ended with {self._ended}"
        return self._premature(event_type)

    def _premature(self, event_type: str) -> str | None:
        """Say what should have been before, or not yet."""
        if self._measured and event_type in _BEFORE_MEASURING:
            return _BEFORE_MEASURING[event_type]
        if event_type in _NEEDS_A_PLAN and "run.planned" not in self.seen:
            return "the run was not planned before"
        if event_type == "governance.cleared" and not self._judged:
            return "there is no judgement to take back"
        return None

    def _iteration(self, event_type: str, data: Mapping[str, Any] | None) -> str | None:
        """Check that iterations go forward, and note the last."""
        if data is None:
            return None
        if event_type == "gate.checked":
            last, self._last_gate = self._last_gate, data["iter"]
            if data["iter"] <= last:
                return f"iteration {data['iter']} does not come after {last}, the last one checked"
        if event_type == "metric.observed":
            last, self._last_metric = self._last_metric, data["iter"]
            if data["iter"] < last:
                return f"iteration {data['iter']} comes before {last}, the last one observed"
        if event_type in {"metric.observed", "gate.anchored"} and data["iter"] < self._last_gate:
            return f"iteration {data['iter']} comes before {self._last_gate}, the last one checked"
        return None

    def _advance(self, event_type: str) -> None:
        if event_type in {"run.finished", "run.closed"} and self._ended is None:
            self._ended = event_type
        if event_type in ONCE:
            self.seen.add(event_type)
        if event_type.startswith("governance."):
            self._judged = event_type == "governance.judged"
        self._measured = self._measured or event_type.partition(".")[0] in _MEASURING
