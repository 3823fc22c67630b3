"""Open the gate that a plan asks for; the two kinds look alike from outside.

>>> from producers.gates.presets import preset
>>> gate = open_gate(preset("short_v0"))
>>> gate.wants(7), gate.check(7) is None
(True, True)
"""

from collections.abc import Mapping
from typing import Any, Protocol

from producers.gates.check import Check
from producers.gates.forecast import ForecastPlan
from producers.gates.forecasting import ForecastGate
from producers.gates.histogram import HistogramGate
from producers.gates.plan import Plan

AnyPlan = Plan | ForecastPlan


class Gate(Protocol):
    """The training gate of one run: observe, check at the end of each window, anchor."""

    @property
    def plan(self) -> AnyPlan:
        """What the gate was told at the start."""

    def wants(self, iteration: int) -> bool:
        """Whether an observation at *iteration* would count; a loop may spare the others."""

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take in one iteration's metrics; of two values for one of them the first counts.

        Raises:
            MisuseError: The iteration is before the last check or after one that is due.
        """

    def check(self, done: int) -> Check | None:
        """Return a check if a window ends where *done* iterations are complete.

        Raises:
            MisuseError: The end of a window was passed over.
        """

    def anchor(self, iteration: int) -> None:
        """Begin anew at *iteration*, where something changed that is no fault.

        Raises:
            MisuseError: The iteration is before the last check or after one that is due.
        """


def open_gate(plan: AnyPlan, *, start: int = 0) -> Gate:
    """Return the gate of a run that begins, or goes on, at iteration *start*.

    Its first window is the first that begins there or later (gate.md, section 2).

    Raises:
        MisuseError: *start* is negative.
    """
    if isinstance(plan, ForecastPlan):
        return ForecastGate(plan, start=start)
    return HistogramGate(plan, start=start)


def plan_from_data(data: Mapping[str, Any]) -> AnyPlan:
    """Return the plan that ``run.planned`` recorded, of whichever kind.

    Raises:
        MisuseError: It is no plan that can be carried out.
    """
    return ForecastPlan.from_data(data) if "engine" in data else Plan.from_data(data)
