"""What a histogram gate commits to before the first step (gate.md, section 4).

The plan goes into ``run.planned``; together with the metrics on record it is
all that a decision depends on. A forecasting gate's is in ``forecast.py``.

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

MOST_METRICS = 64  # the limits that the verifier sets, so that a plan cannot make it work all day
_MOST_CELLS = 8192

POLICIES = ("persistence", "persistence_stability", "either", "conjunction")


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
        # A width beyond binary64 would be infinite, and no place in it a number.
        if not (self.low < self.high and isfinite(self.high - self.low)):
            raise MisuseError(f"metric {self.name}: [{self.low}, {self.high}] is not a range")
        if not (isfinite(self.weight) and self.weight >= 0):
            raise MisuseError(f"metric {self.name}: weight {self.weight} is not a weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a histogram gate's decisions depend on, besides the metrics.

    A check happens at each multiple *t* of ``window`` and judges the iterations
    [t - window, t). Each of them whose number is a multiple of
    ``metric_interval`` gives one value of every metric. ``gain`` is in bits;
    ``None`` turns its rule off, and so does ``min_metrics_exceeding``'s.
    """

    preset: str
    policy: str = "persistence"
    window: int
    metric_interval: int = 1
    warmup: int
    bins: int
    metrics: tuple[Metric, ...]
    epsilon: float
    persistence: int
    min_evidence: int
    gain: float | None = None
    min_metrics_exceeding: int | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out as written.

        Raises:
            MisuseError: A control is out of its range, or the policy is unknown.
        """
        names = [metric.name for metric in self.metrics]
        problems = {
            f"policy {self.policy!r} is not one of {', '.join(POLICIES)}": self.policy
            not in POLICIES,
            **whole_problems(window=self.window, metric_interval=self.metric_interval),
            "bins must be at least 2": self.bins < 2,  # noqa: PLR2004 - one bin tells nothing
            "epsilon must be finite and not negative": not (
                isfinite(self.epsilon) and self.epsilon >= 0
            ),
            "persistence and min_evidence must be at least 1": self.persistence < 1
            or self.min_evidence < 1,
            "min_metrics_exceeding must be at least 1": self.min_metrics_exceeding is not None
            and self.min_metrics_exceeding < 1,
            "gain must be finite": self.gain is not None and not isfinite(self.gain),
            "warmup must not be negative": self.warmup < 0,
            "metrics must be named once each": len(set(names)) != len(names),
            f"there are more than {MOST_METRICS} metrics": len(names) > MOST_METRICS,
            f"metrics times bins are more than {_MOST_CELLS}": len(names) * self.bins > _MOST_CELLS,
            "the weights must not all be zero": not any(m.weight for m in self.metrics),
        }
        refuse(problems)

    @property
    def samples(self) -> int:
        """How many values of each metric one full window holds."""
        return self.window // self.metric_interval

    def as_data(self) -> dict[str, Any]:
        """Return the plan as the ``gate`` member of ``run.planned``."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "ranges": {m.name: [m.low, m.high] for m in self.metrics},
            "weights": {m.name: m.weight for m in self.metrics},
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
            # The last two came later: a plan without them has neither rule.
            rest = {name: data[name] for name in _PLAIN[:-2]}
            rest |= {name: data.get(name) for name in _PLAIN[-2:]}
            return cls(metrics=metrics, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise MisuseError(f"gate plan: {error!r} in what was recorded") from error


def whole_problems(*, window: int, metric_interval: int) -> dict[str, bool]:
    """Return what can be wrong with the windows of any plan, and whether it is."""
    return {
        "window must be a positive multiple of metric_interval": window < 1
        or metric_interval < 1
        or window % metric_interval != 0
    }


def refuse(problems: Mapping[str, bool]) -> None:
    """Raise for the first problem that is there.

    Raises:
        MisuseError: There is one.
    """
    for problem, holds in problems.items():
        if holds:
            raise MisuseError(f"gate plan: {problem}")


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
    "gain",
    "min_metrics_exceeding",
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
