"""One evaluation of a gate, whichever gate it was: the decision, and how it came about.

>>> check = Check(iter=100, decision="skip", reason="not_evaluated_warmup", policy="p",
...               evidence_total=0, min_evidence=20)
>>> check.as_data()["audit"]["evaluated"]
False
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Decision = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The counts of one metric over a histogram plan's bins, in two windows.

    Only finite values are counted: a recent window whose counts do not add up
    to the plan's samples held a value that was not finite, or lacked one.
    """

    reference: tuple[int, ...]
    recent: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """The worst view of one metric, and its miss in standard deviations."""

    view: str
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How a forecasting gate came to its decision (gate.md, 3.6).

    ``metric`` is the driver, ``None`` where nothing was scored. ``regime``,
    ``held`` and ``history`` (in blocks) are as they were before the check.
    """

    metric: str | None
    scores: Mapping[str, Score]
    regime: int
    held: int
    history: int

    @property
    def driver(self) -> Score | None:
        """The score of the driver."""
        return None if self.metric is None else self.scores[self.metric]

    def as_data(self) -> dict[str, Any]:
        """Return the ``forecast`` member of ``gate.checked``."""
        return {
            "metric": self.metric,
            "view": self.driver and self.driver.view,
            "z": self.driver and self.driver.z,
            "scores": {name: {"view": s.view, "z": s.z} for name, s in self.scores.items()},
            "regime": self.regime,
            "held": self.held,
            "history": self.history,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One evaluation of the gate.

    ``worst_dw`` is NaN where a value that was not finite decided, and so is a
    metric's entry in ``per_metric_tv``. ``exceeds`` is not recorded: it says
    whether the window counts towards a row of them.
    """

    iter: int
    decision: Decision
    reason: str
    policy: str
    evidence_total: int
    min_evidence: int
    worst_dw: float | None = None
    eps_eff: float | None = None
    per_metric_tv: Mapping[str, float] = field(default_factory=dict)
    exceeds: bool = False
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    forecast: Forecast | None = None

    @property
    def evaluated(self) -> bool:
        """Whether the gate said anything: a skip is never a pass."""
        return self.decision != "skip"

    def as_data(self) -> dict[str, Any]:
        """Return the check as the payload of ``gate.checked``; NaN is written as text."""
        data: dict[str, Any] = {
            "iter": self.iter,
            "decision": self.decision,
            "audit": {
                "evaluated": self.evaluated,
                "reason": self.reason,
                "policy": self.policy,
                "worst_DW": _shown(self.worst_dw),
                "eps_eff": self.eps_eff,
                "per_metric_tv": {name: _shown(tv) for name, tv in self.per_metric_tv.items()},
                "evidence_total": self.evidence_total,
                "min_evidence": self.min_evidence,
            },
            "evidence": {
                name: {"reference": list(e.reference), "recent": list(e.recent)}
                for name, e in self.evidence.items()
            },
        }
        if self.forecast is not None:
            data["forecast"] = self.forecast.as_data()
        return data


def _shown(value: float | None) -> float | str | None:
    return "NaN" if value is not None and value != value else value  # noqa: PLR0124 - NaN alone
