"""Decide one check of a histogram gate from counts (gate.md, section 4).

D_W is the weighted mean, over the metrics, of the total variation distance
between two histograms: the reference window's and the recent window's. Both
are counts over the plan's declared bins, so D_W is a ratio of integers and
weights; it is computed and compared as an exact fraction, and only shown as a
float. No rounding, no order of summation and no library can move a decision.

This is a deliberately plain gate. A two-sample distance has a bias at small
samples and sees healthy drift as well as faults; the demo's plan leaves room
for both, as docs/explanation/demo-gate.md measures, and the gate for real
trainings is the forecasting one.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import floor, isfinite, nan

from ledger.errors import MisuseError
from producers.gates.check import Check, Decision, Evidence
from producers.gates.plan import Metric, Plan

_BIT = 0.6931471805599453  # nats in a bit, as gate.md writes it


def count(values: Iterable[float], metric: Metric, bins: int) -> tuple[int, ...]:
    """Return how many finite *values* fall into each bin of the metric's range.

    Values outside are clipped into the range, so they land in the outermost
    bins. The bin is ``floor((value - low) / (high - low) * bins)`` in binary64,
    in this order of operations, and ``high`` itself belongs to the last.
    """
    counts = [0] * bins
    for value in values:
        if isfinite(value):
            clipped = min(max(value, metric.low), metric.high)
            place = floor((clipped - metric.low) / (metric.high - metric.low) * bins)
            counts[min(place, bins - 1)] += 1
    return tuple(counts)


def total_variation(one: Sequence[int], other: Sequence[int]) -> Fraction:
    """Return half the sum of the differences between two histograms' shares.

    Raises:
        MisuseError: A histogram is empty, or they have different bins.
    """
    n, m = sum(one), sum(other)
    if not n or not m or len(one) != len(other):
        raise MisuseError("total variation needs two histograms of the same bins, neither empty")
    return Fraction(sum(abs(a * m - b * n) for a, b in zip(one, other, strict=True)), 2 * n * m)


def decide(
    plan: Plan,
    evidence: Mapping[str, Evidence],
    history: Sequence[bool],
    *,
    iteration: int,
    gain: Fraction | None = None,
) -> Check:
    """Decide the check at *iteration* from its counts.

    *history* says of each earlier check that was evaluated whether its window
    exceeded; *gain* is by how much the loss fell since the reference window, in
    nats, if both had a value. A value that was not finite fails at once, and so
    does one that is missing.

    Raises:
        MisuseError: The evidence is not of this plan's metrics and bins.
    """
    _check_shape(plan, evidence)
    distances = _distances(evidence)
    broken = sorted(name for name, e in evidence.items() if sum(e.recent) < plan.samples)
    total = sum(min(sum(e.reference), sum(e.recent)) for e in evidence.values())
    weighted = _weighted_mean(plan, distances) if len(distances) == len(evidence) else None
    decision, reason = _not_judged(plan, iteration, broken=broken, total=total, weighted=weighted)
    exceeds = bool(broken)
    if decision is None:
        exceeds = weighted is not None and _exceeds(plan, weighted, distances)
        reason = decision = _judge(plan, history, exceeds=exceeds, low=_is_low(plan, gain))
    evaluated = decision != "skip"
    shown = {name: float(tv) for name, tv in sorted(distances.items())}
    distance = None if weighted is None else float(weighted)
    return Check(
        iter=iteration,
        decision=decision,
        reason=reason,
        policy=plan.policy,
        worst_dw=nan if broken else distance if evaluated else None,
        eps_eff=plan.epsilon if evaluated else None,
        per_metric_tv=shown | dict.fromkeys(broken, nan) if evaluated else {},
        evidence_total=total,
        min_evidence=plan.min_evidence,
        exceeds=exceeds,
        evidence=dict(evidence),
    )


def _not_judged(
    plan: Plan, iteration: int, *, broken: list[str], total: int, weighted: Fraction | None
) -> tuple[Decision | None, str]:
    """Return the decision of a check whose distance is not looked at, and its reason."""
    if broken:
        return "fail", "nonfinite_metric"
    if iteration < plan.warmup:
        return "skip", "warmup"
    if weighted is None or total < plan.min_evidence:
        return "skip", "insufficient_evidence"
    return None, ""


def _check_shape(plan: Plan, evidence: Mapping[str, Evidence]) -> None:
    if set(evidence) != {metric.name for metric in plan.metrics}:
        raise MisuseError(f"the evidence is of {sorted(evidence)}, not of the plan's metrics")
    for name, counts in evidence.items():
        if any(len(side) != plan.bins for side in (counts.reference, counts.recent)):
            raise MisuseError(f"the evidence of {name} is not over {plan.bins} bins")
        if any(n < 0 for n in counts.reference + counts.recent):
            raise MisuseError(f"the evidence of {name} has a negative count")
        if sum(counts.recent) > plan.samples:
            raise MisuseError(f"the evidence of {name} counts more values than a window holds")


def _distances(evidence: Mapping[str, Evidence]) -> dict[str, Fraction]:
    return {
        name: total_variation(sides.reference, sides.recent)
        for name, sides in evidence.items()
        if sum(sides.reference) and sum(sides.recent)
    }


def _weighted_mean(plan: Plan, distances: Mapping[str, Fraction]) -> Fraction:
    weights = {metric.name: Fraction(metric.weight) for metric in plan.metrics}
    total = sum(weights.values())
    return sum((weights[name] * tv for name, tv in distances.items()), Fraction()) / total


def _exceeds(plan: Plan, weighted: Fraction, distances: Mapping[str, Fraction]) -> bool:
    epsilon = Fraction(plan.epsilon)
    least = min(plan.min_metrics_exceeding or 0, len(plan.metrics))
    return weighted > epsilon and sum(tv > epsilon for tv in distances.values()) >= least


def _is_low(plan: Plan, gain: Fraction | None) -> bool:
    return plan.gain is not None and gain is not None and gain < Fraction(plan.gain * _BIT)


def _judge(plan: Plan, history: Sequence[bool], *, exceeds: bool, low: bool) -> Decision:
    if plan.policy == "either":
        return "fail" if exceeds or low else "pass"
    if plan.policy == "conjunction":
        return "fail" if exceeds and low else "warn" if exceeds else "pass"
    # Skips are not in the history: they neither add to a row nor end it.
    before = history[len(history) - plan.persistence + 1 :] if plan.persistence > 1 else ()
    if exceeds and len(history) >= plan.persistence - 1 and all(before):
        return "fail"
    return "warn" if exceeds or low else "pass"
