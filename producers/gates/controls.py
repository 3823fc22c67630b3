"""The controls of a gate plan that may be set one by one, and what each is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from ledger.errors import MisuseError

Value = int | float | str | None
"""What a control can be set to, as it is recorded in ``run.planned.overrides``."""


@dataclass(frozen=True, slots=True)
class Control:
    """One control: of which type, whether it may be ``None``, and what it is for."""

    kind: type[int] | type[float] | type[str]
    what: str
    optional: bool = False

    def take(self, name: str, value: Value) -> Value:
        """Return *value* as this control records it.

        Raises:
            MisuseError: It is of another type, or not finite.
        """
        if value is None and self.optional:
            return None
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind or (isinstance(value, float) and not isfinite(value)):
            wanted = {int: "an integer", float: "a number", str: "a text"}[self.kind]
            raise MisuseError(f"gate control {name}: {value!r} is not {wanted}")
        return value


CONTROLS: Mapping[str, Control] = {
    "policy": Control(str, "how scores become a decision"),
    "window": Control(int, "iterations from one check to the next"),
    "block": Control(int, "iterations that are averaged into one point of the forecast"),
    "metric_interval": Control(int, "iterations from one observation to the next"),
    "warmup": Control(int, "no check before this iteration is evaluated"),
    "reference": Control(int, "blocks that a forecast's straight line is drawn through"),
    "min_errors": Control(int, "earlier misses that a view needs before it has a score"),
    "level": Control(str, "the metric whose best window so far is remembered", optional=True),
    "level_from": Control(int, "windows that begin before this iteration are not the best one"),
    "warn_z": Control(float, "a miss of more standard deviations warns"),
    "fail_z": Control(float, "a miss of more standard deviations exceeds"),
    "bins": Control(int, "equal bins that each metric's range is cut into"),
    "epsilon": Control(float, "a weighted total variation distance above it exceeds"),
    "gain": Control(float, "bits that the loss must fall by since the reference", optional=True),
    "min_metrics_exceeding": Control(
        int, "metrics that must exceed on their own for the window to exceed", optional=True
    ),
    "persistence": Control(int, "windows in a row that must exceed for a fail"),
    "hold": Control(int, "windows that fail in a row before the history is begun anew"),
    "min_evidence": Control(int, "values that a check needs, over all metrics"),
}
