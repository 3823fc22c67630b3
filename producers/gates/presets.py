"""The gate plans that have a name, and plans that depart from one of them.

``producers.gates.publish`` writes them to a file for the verifier. docs/presets.md
says what each is for and what was measured.

>>> preset("tuned_v0").window
100
>>> plan = preset("tuned_v0", {"warmup": 500, "window": 100})
>>> departures(plan)
{'warmup': 500}
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from ledger.errors import MisuseError
from producers.gates.controls import CONTROLS, Value
from producers.gates.forecast import ForecastPlan, View
from producers.gates.gate import AnyPlan, plan_from_data
from producers.gates.plan import DEMO, Metric, Plan

_TUNED = ForecastPlan(
    preset="tuned_v0",
    policy="forecast_z_max",
    window=100,
    block=25,
    metric_interval=5,
    warmup=1000,
    reference=16,
    views=(View("window", 4, 0, 24), View("lagged", 4, 4, 24), View("last", 1, 0, 48)),
    min_errors=8,
    metrics={
        "act_rms": "two_sided",
        "cos_disp": "two_sided",
        "eff_dim": "two_sided",
        "loss": "rise",
        "rankme": "two_sided",
        "update_rms": "stall",
        "var_out_k": "two_sided",
    },
    level="loss",
    level_from=500,
    warn_z=5.0,
    fail_z=6.0,
    persistence=1,
    hold=5,
    min_evidence=20,
)

_SPIKE = replace(
    _TUNED,
    preset="spike_v1",
    policy="forecast_z_persistence",
    window=75,
    block=15,
    metric_interval=3,
    warmup=1500,
    views=(View("window", 5, 0, 24), View("lagged", 5, 5, 24), View("last", 1, 0, 48)),
    persistence=2,
    min_evidence=75,
)

_SHORT = replace(
    _TUNED,
    preset="short_v0",
    window=20,
    block=5,
    metric_interval=1,
    warmup=200,
    level_from=100,
)

_LEGACY = Plan(
    preset="legacy",
    policy="either",
    window=50,
    metric_interval=5,
    warmup=500,
    bins=16,
    metrics=(
        Metric("cos_disp", 0.0, 1.0, 0.1),
        Metric("eff_dim", 0.0, 64.0, 0.35),
        Metric("loss", 0.0, 8.0, 0.0),
        Metric("rankme", 1.0, 64.0, 0.2),
        Metric("var_out_k", 0.0, 1.0, 0.35),
    ),
    epsilon=0.13,
    persistence=2,
    min_evidence=16,
    gain=0.0,
    min_metrics_exceeding=1,
)

PRESETS: Mapping[str, AnyPlan] = {
    plan.preset: plan for plan in (_TUNED, _SPIKE, _SHORT, _LEGACY, DEMO)
}
"""Every named plan, the canonical one first."""

CANONICAL = _TUNED.preset


def preset(name: str, overrides: Mapping[str, Value] | None = None) -> AnyPlan:
    """Return the plan of a preset, with single controls set otherwise.

    Raises:
        MisuseError: There is no such preset or control, or the plan that comes
            out cannot be carried out.
    """
    if name not in PRESETS:
        raise MisuseError(f"gate preset {name!r} is not known{_hint(name, PRESETS)}")
    plan = PRESETS[name]
    changes: dict[str, Value] = {}
    for control, value in (overrides or {}).items():
        if control not in CONTROLS or not hasattr(plan, control):
            known = [one for one in CONTROLS if hasattr(plan, one)]
            raise MisuseError(f"{name} has no control {control!r}{_hint(control, known)}")
        changes[control] = CONTROLS[control].take(control, value)
    return plan_from_data(plan.as_data() | changes)


def departures(plan: AnyPlan) -> dict[str, Value]:
    """Return the controls in which a plan departs from its preset: ``run.planned.overrides``.

    A plan whose preset is not one of ours departs from nothing.
    """
    base = PRESETS.get(plan.preset)
    if base is None:
        return {}
    shown, own = base.as_data(), plan.as_data()
    return {name: own[name] for name in CONTROLS if name in own and own[name] != shown.get(name)}


def _hint(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
