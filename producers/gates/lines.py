"""One line of text for each check of a gate, in columns that stay where they are.

>>> from producers.gates.check import Check
>>> skip = Check(iter=100, decision="skip", reason="not_evaluated_warmup", policy="p",
...              evidence_total=0, min_evidence=20)
>>> " ".join(check_line(skip, 3.1).split())
'iter 100 skip D_W - loss 3.100 (not_evaluated_warmup)'
"""

from math import isnan

from producers.gates.check import Check
from producers.gates.forecast import ForecastPlan
from producers.gates.gate import AnyPlan

_ALL_IS_WELL = "none_ok"


def check_line(check: Check, loss: float | None, plan: AnyPlan | None = None) -> str:
    """Return what a check decided, what drove it, and the *loss* at it, if there is one.

    With the *plan*, a forecasting gate's z is shown beside the bound that it was
    compared with.
    """
    columns = (f"{check.decision:4}", f"{_distance(check):19}", f"{_driver(check, plan):25}")
    parts = [f"iter {check.iter:6d}", *columns]
    if loss is not None:
        parts.append(f"loss {loss:.3f}")
    if check.reason not in {check.decision, _ALL_IS_WELL}:
        parts.append(f"({check.reason})")
    return "  ".join(parts).rstrip()


def _distance(check: Check) -> str:
    if check.worst_dw is None:
        return "D_W -"
    if isnan(check.worst_dw) or check.eps_eff is None:
        return f"D_W {check.worst_dw:.3f}"
    sign = "<=" if check.worst_dw <= check.eps_eff else "> "
    return f"D_W {check.worst_dw:.3f} {sign} {check.eps_eff:.3f}"


def _driver(check: Check, plan: AnyPlan | None) -> str:
    """Return the metric that decided, and how far off it was."""
    if check.forecast is None:
        known = {name: tv for name, tv in check.per_metric_tv.items() if not isnan(tv)}
        worst = max(sorted(known), key=known.__getitem__, default=None)
        return "" if worst is None else f"{worst:10} TV {known[worst]:.3f}"
    metric = check.forecast.metric
    if metric is None:
        return ""
    z = check.forecast.scores[metric].z
    text = f"{metric:10} z {z:6.2f}"
    if isinstance(plan, ForecastPlan):
        bound = plan.fail_z if check.decision == "fail" else plan.warn_z
        text += f" {'<=' if z <= bound else '> '} {bound:g}"
    return text
