"""The plan of a training gate: whether it can be followed, and is the preset that it names.

Written from docs/reference/gate.md, sections 5 and 6. The presets are published data.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from verifier.schema import clip

__all__ = ["PresetsError", "is_forecast", "load_presets", "plan_faults"]

GatePlan = Mapping[str, Any]

_PUBLISHED = Path(__file__).with_name("presets.json")
# Section 6: what one check may cost whoever verifies it.
_MOST_METRICS = 64
_MOST_BLOCKS = 256
_MOST_TERMS = 1 << 14
_MOST_BINS = 1 << 13
_NAMED = 5
_POLICIES = frozenset({"persistence", "persistence_stability", "either", "conjunction"})
_OPTIONAL = ("gain", "min_metrics_exceeding")


class PresetsError(Exception):
    """The published presets are missing, or are not what they have to be."""


def is_forecast(gate: GatePlan) -> bool:
    """Tell a forecasting gate's plan from a histogram gate's."""
    return "engine" in gate


@cache
def load_presets(path: Path = _PUBLISHED) -> Mapping[str, GatePlan]:
    """Return the published presets: name to plan.

    Raises:
        PresetsError: The file is missing, or is no object of plans.
    """
    try:
        published = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PresetsError(f"{path.name}: {error}") from error
    if type(published) is not dict or not all(type(p) is dict for p in published.values()):
        raise PresetsError(f"{path.name}: expected an object of plans")
    return published


def plan_faults(
    planned: Mapping[str, Any], asked: object, presets: Mapping[str, GatePlan]
) -> list[str]:
    """Return what is wrong with a ``run.planned``, the first few of it.

    *asked* is ``gate_preset`` of ``run.opened``: what was asked of the wrapper, or ``None``.
    """
    gate, overrides = planned["gate"], planned.get("overrides", {})
    return list(islice(_faults(gate, overrides, asked, presets=presets), _NAMED))


def _faults(
    gate: GatePlan,
    overrides: Mapping[str, object],
    asked: object,
    *,
    presets: Mapping[str, GatePlan],
) -> Iterator[str]:
    yield from _forecast_faults(gate) if is_forecast(gate) else _histogram_faults(gate)
    preset = gate["preset"]
    if asked is not None and asked != preset:
        yield f"preset: run.opened asks for {clip(asked)}, found {clip(preset)}"
    if preset in presets:
        yield from _departures(_whole(gate), overrides, _whole(presets[preset]))


def _whole(gate: GatePlan) -> GatePlan:
    return gate if is_forecast(gate) else {**dict.fromkeys(_OPTIONAL), **gate}


def _departures(gate: GatePlan, overrides: Mapping[str, object], preset: GatePlan) -> Iterator[str]:
    """Say where a plan is not the preset whose name it bears."""
    for control, value in overrides.items():
        if control not in gate or control not in preset:
            yield f"overrides.{clip(control)}: the plan has no such control"
        elif not same(gate[control], value):
            yield f"overrides.{clip(control)}: {_differs(value, gate[control])} in the plan"
        elif same(preset[control], value):
            yield f"overrides.{clip(control)}: {clip(value)} is the preset's own value"
    for control in sorted((gate.keys() | preset.keys()) - overrides.keys()):
        if control not in gate:
            yield f"{clip(control)}: missing, though {clip(gate['preset'])} has it"
        elif control not in preset:
            yield f"{clip(control)}: {clip(gate['preset'])} has no such control"
        elif not same(gate[control], preset[control]):
            yield f"{clip(control)}: {_differs(preset[control], gate[control])}"


def _differs(expected: object, found: object) -> str:
    return f"expected {clip(expected)}, found {clip(found)}"


def same(one: object, other: object) -> bool:
    """Compare JSON values: 1 and 1.0 are one number, and true is none."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def _forecast_faults(gate: GatePlan) -> Iterator[str]:
    window, block, interval = gate["window"], gate["block"], gate["metric_interval"]
    if block % interval:
        yield f"block: expected a multiple of metric_interval {interval}, found {block}"
    if window % block:
        yield f"window: expected a multiple of block {block}, found {window}"
    directions, names = gate["metrics"], [view["name"] for view in gate["views"]]
    if all(direction == "stall" for direction in directions.values()):
        yield "metrics: none of them is forecast"
    if "" in directions:
        yield "metrics: one has no name"
    if gate["level"] is not None and directions.get(gate["level"], "stall") == "stall":
        yield f"level: {clip(gate['level'])} is not among the metrics that are forecast"
    if "level" in names or len(set(names)) < len(names):
        yield "views: two of one name, or one named level"
    if gate["policy"] == "forecast_z_max" and gate["persistence"] != 1:
        yield f"persistence: forecast_z_max has 1, found {gate['persistence']}"
    yield from _forecast_costs(gate)


def _forecast_costs(gate: GatePlan) -> Iterator[str]:
    metrics, blocks = len(gate["metrics"]), -(-gate["window"] // gate["block"])
    terms = metrics * sum(gate["reference"] + view["errors"] for view in gate["views"])
    if metrics > _MOST_METRICS:
        yield f"metrics: expected at most {_MOST_METRICS}, found {metrics}"
    if blocks > _MOST_BLOCKS:
        yield f"window: expected at most {_MOST_BLOCKS} blocks, found {blocks}"
    if terms > _MOST_TERMS:
        said = "metrics x the sum of reference + errors over the views"
        yield f"views: expected {said} to be at most {_MOST_TERMS}, found {terms}"


def _histogram_faults(gate: GatePlan) -> Iterator[str]:
    window, interval = gate["window"], gate["metric_interval"]
    ranges, weights = gate["ranges"], gate["weights"]
    if window % interval:
        yield f"window: expected a multiple of metric_interval {interval}, found {window}"
    if gate["policy"] not in _POLICIES:
        known = ", ".join(sorted(_POLICIES))
        yield f"policy: expected one of {known}, found {clip(gate['policy'])}"
    if ranges.keys() != weights.keys():
        yield "weights: expected one for each metric that has a range, and no other"
    if not any(weights.values()):
        yield "weights: none of them is more than 0"
    for name, (low, high) in ranges.items():
        if not low < high or not float(high) - float(low) < float("inf"):
            yield f"ranges.{clip(name)}: expected low < high, found {low} and {high}"
    if len(ranges) > _MOST_METRICS:
        yield f"ranges: expected at most {_MOST_METRICS} metrics, found {len(ranges)}"
    if len(ranges) * gate["bins"] > _MOST_BINS:
        yield f"bins: expected at most {_MOST_BINS} in all, found {len(ranges) * gate['bins']}"
