"""What a forecasting gate commits to before the first step (gate.md, section 3).

>>> plan = ForecastPlan(preset="p", window=4, block=2, warmup=0, reference=4,
...                     views=(View("window", 2, 0, 8),), min_errors=1,
...                     metrics={"loss": "rise"}, warn_z=5.0, fail_z=6.0, min_evidence=1)
>>> plan.samples, plan.blocks
(4, 2)
>>> ForecastPlan.from_data(plan.as_data()) == plan
True
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from ledger.errors import MisuseError
from producers.gates.plan import MOST_METRICS, refuse, whole_problems

ENGINE = "forecast_z/1"
LEVEL = "level"

Direction = Literal["two_sided", "rise", "fall", "stall"]
"""What counts against a metric: any change, a rise, a fall, or standing at exactly zero."""

_MAX, _PERSISTENCE = "forecast_z_max", "forecast_z_persistence"
_MOST_BLOCKS = 256  # the limits that the verifier sets, so that a plan cannot make it work all day
_MOST_COST = 16384
_LEAST_REFERENCE = 4  # a line has two parameters, and its noise needs two second differences


@dataclass(frozen=True, slots=True)
class View:
    """One way to look back, in blocks: *blocks* tested, after *gap*, against *errors* misses."""

    name: str
    blocks: int
    gap: int
    errors: int

    def __post_init__(self) -> None:
        """Refuse a view that looks at nothing.

        Raises:
            MisuseError: A number is out of its range.
        """
        if self.blocks < 1 or self.gap < 0 or self.errors < 1 or not self.name:
            raise MisuseError(f"view {self.name!r}: blocks and errors from 1, gap from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPlan:
    """Everything that a forecasting gate's decisions depend on, besides the metrics.

    ``window``, ``block``, ``metric_interval``, ``warmup`` and ``level_from`` are
    in iterations, ``reference`` in blocks, ``hold`` in windows; ``warn_z`` and
    ``fail_z`` in standard deviations of the forecast's miss.
    """

    preset: str
    policy: str = _MAX
    window: int
    block: int
    metric_interval: int = 1
    warmup: int
    reference: int
    views: tuple[View, ...]
    min_errors: int
    metrics: Mapping[str, Direction]
    level: str | None = None
    level_from: int = 0
    warn_z: float
    fail_z: float
    persistence: int = 1
    hold: int = 5
    min_evidence: int

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out as written.

        Raises:
            MisuseError: A control is out of its range or contradicts another.
        """
        refuse(whole_problems(window=self.window, metric_interval=self.metric_interval))
        refuse(
            {
                "block must be a positive multiple of metric_interval, and window of block": (
                    self.block < 1
                    or self.block % self.metric_interval != 0
                    or self.window % self.block != 0
                ),
                f"reference must be at least {_LEAST_REFERENCE}": self.reference < _LEAST_REFERENCE,
                "min_errors, persistence and hold must be at least 1": min(
                    self.min_errors, self.persistence, self.hold
                )
                < 1,
                "warmup, level_from and min_evidence must not be negative": min(
                    self.warmup, self.level_from, self.min_evidence
                )
                < 0,
                "warn_z and fail_z must be finite and not negative": not all(
                    isfinite(z) and z >= 0 for z in (self.warn_z, self.fail_z)
                ),
            }
        )
        self._check_names()
        self._check_fit()

    def _check_names(self) -> None:
        names = [view.name for view in self.views]
        directions = get_args(Direction)
        refuse(
            {
                "there must be views, named once each, none 'level'": not names
                or len(set(names)) != len(names)
                or LEVEL in names,
                f"the directions are {', '.join(directions)}": not set(
                    self.metrics.values()
                ).issubset(directions),
                "there must be a metric that is not 'stall'": not self.judged,
                "every metric must have a name": "" in self.metrics,
                f"level {self.level!r} is not a metric that is forecast": self.level is not None
                and self.level not in self.judged,
            }
        )

    def _check_fit(self) -> None:
        refuse(
            {
                "min_errors is more than a view remembers, which would never score": any(
                    view.errors < self.min_errors for view in self.views
                ),
                f"there are more than {MOST_METRICS} metrics": len(self.metrics) > MOST_METRICS,
                f"a window has more than {_MOST_BLOCKS} blocks": self.blocks > _MOST_BLOCKS,
                f"a check costs more than {_MOST_COST} numbers": self.cost > _MOST_COST,
                f"policy {self.policy!r} is not {_MAX} or {_PERSISTENCE}": self.policy
                not in (_MAX, _PERSISTENCE),
                f"{_MAX} has persistence 1, not {self.persistence}: choose {_PERSISTENCE}": (
                    self.policy == _MAX and self.persistence != 1
                ),
            }
        )

    @property
    def cost(self) -> int:
        """How many remembered numbers a check may look at: metrics times what the views need."""
        return len(self.judged) * sum(self.reference + view.errors for view in self.views)

    @property
    def judged(self) -> tuple[str, ...]:
        """The metrics that are forecast: all but the ``stall`` ones, in code point order."""
        return tuple(sorted(name for name, way in self.metrics.items() if way != "stall"))

    @property
    def samples(self) -> int:
        """How many values of each metric one full window holds."""
        return self.window // self.metric_interval

    @property
    def block_samples(self) -> int:
        """How many values of each metric one full block holds: *s* of gate.md."""
        return self.block // self.metric_interval

    @property
    def blocks(self) -> int:
        """How many blocks one window holds: *nb* of gate.md."""
        return self.window // self.block

    def as_data(self) -> dict[str, Any]:
        """Return the plan as the ``gate`` member of ``run.planned``."""
        return {
            "engine": ENGINE,
            **{name: getattr(self, name) for name in _PLAIN},
            "views": [
                {"name": v.name, "blocks": v.blocks, "gap": v.gap, "errors": v.errors}
                for v in self.views
            ],
            "metrics": dict(sorted(self.metrics.items())),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ForecastPlan":
        """Return the plan that ``run.planned`` recorded.

        Raises:
            MisuseError: A member is missing, the engine is another, or the plan
                cannot be carried out.
        """
        try:
            if data["engine"] != ENGINE:
                raise MisuseError(f"gate plan: engine {data['engine']!r} is not {ENGINE}")
            views = tuple(View(**view) for view in data["views"])
            rest = {name: data[name] for name in _PLAIN}
            return cls(views=views, metrics=dict(data["metrics"]), **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise MisuseError(f"gate plan: {error!r} in what was recorded") from error


_PLAIN = (
    "preset",
    "policy",
    "window",
    "block",
    "metric_interval",
    "warmup",
    "reference",
    "min_errors",
    "level",
    "level_from",
    "warn_z",
    "fail_z",
    "persistence",
    "hold",
    "min_evidence",
)
