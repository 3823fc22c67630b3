"""What a training gate commits to before the first step, and its default values.

The plan goes into ``run.planned``; together with the counts in each
``gate.checked`` it is all that a decision depends on.

>>> DEMO.as_data()["window"]
20
>>> Plan.from_data(DEMO.as_data()) == DEMO
True
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ledger.errors import MisuseError

PERSISTENCE = "persistence"
"""Warn when D_W exceeds epsilon, fail when it did so K checks in a row."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A gated metric: its declared range, and its relative weight in D_W."""

    name: str
    low: float
    high: float
    weight: float

    def __post_init__(self) -> None:
        """Refuse what no histogram or weighted mean can be made of.

        Raises:
            MisuseError: The range is empty or not finite, or the weight is negative.
        """
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise MisuseError(f"metric {self.name}: [{self.low}, {self.high}] is not a range")
        if not (isfinite(self.weight) and self.weight >= 0):
            raise MisuseError(f"metric {self.name}: weight {self.weight} is not a weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a gate's decisions depend on, besides the metrics themselves.

    A check happens at each multiple *t* of ``window`` and judges the iterations
    [t - window, t). Each of them whose number is a multiple of
    ``metric_interval`` gives one value of every metric.
    """

    preset: str
    policy: str = PERSISTENCE
    window: int
    metric_interval: int = 1
    warmup: int
    bins: int
    metrics: tuple[Metric, ...]
    epsilon: float
    persistence: int
    min_evidence: int

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out as written.

        Raises:
            MisuseError: A control is out of its range, or the policy is unknown.
        """
        names = [metric.name for metric in self.metrics]
        problems = {
            f"policy {self.policy!r} is not known": self.policy != PERSISTENCE,
            "window must be a positive multiple of metric_interval": self.window < 1
            or self.metric_interval < 1
            or self.window % self.metric_interval != 0,
            "bins must be at least 2": self.bins < 2,  # noqa: PLR2004 - one bin tells nothing
            "epsilon must be finite and not negative": not (
                isfinite(self.epsilon) and self.epsilon >= 0
            ),
            "persistence and min_evidence must be at least 1": self.persistence < 1
            or self.min_evidence < 1,
            "warmup must not be negative": self.warmup < 0,
            "metrics must be named once each": len(set(names)) != len(names),
            "the weights must not all be zero": not any(m.weight for m in self.metrics),
        }
        for problem, holds in problems.items():
            if holds:
                raise MisuseError(f"gate plan: {problem}")

    @property
    def samples(self) -> int:
        """How many values of each metric one full window holds."""
        return self.window // self.metric_interval

    def as_data(self) -> dict[str, Any]:
        """Return the plan as the ``gate`` member of ``run.planned``."""
        return {
            "preset": self.preset,
            "policy": self.policy,
            "window": self.window,
            "metric_interval": self.metric_interval,
            "warmup": self.warmup,
            "bins": self.bins,
            "ranges": {m.name: [m.low, m.high] for m in self.metrics},
            "weights": {m.name: m.weight for m in self.metrics},
            "epsilon": self.epsilon,
            "persistence": self.persistence,
            "min_evidence": self.min_evidence,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Plan":
        """Return the plan that ``run.planned`` recorded.

        Raises:
            MisuseError: A member is missing, or the plan cannot be carried out.
        """
        try:
            metrics = tuple(
                Metric(name, low, high, data["weights"][name])
                for name, (low, high) in sorted(data["ranges"].items())
            )
            rest = {name: data[name] for name in _PLAIN}
        except (KeyError, TypeError, ValueError) as error:
            raise MisuseError(f"gate plan: {error!r} in what was recorded") from error
        return cls(metrics=metrics, **rest)


_PLAIN = (
    "preset",
    "policy",
    "window",
    "metric_interval",
    "warmup",
    "bins",
    "epsilon",
    "persistence",
    "min_evidence",
)

# Chosen by measurement: docs/explanation/demo-gate.md has the table.
DEMO = Plan(
    preset="demo_v0",
    window=20,
    warmup=160,
    bins=20,
    metrics=(
        Metric("eff_dim", 0.0, 32.0, 1.0),
        Metric("loss", 0.0, 8.0, 4.0),
        Metric("var_out_k", 0.0, 1.0, 1.0),
    ),
    epsilon=0.65,
    persistence=2,
    min_evidence=60,
)
