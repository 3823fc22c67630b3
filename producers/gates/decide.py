"""Decide one gate check from counts alone, so that anyone can decide it again.

D_W is the weighted mean, over the metrics, of the total variation distance
between two histograms: the reference window's and the recent window's. Both
are counts over the plan's declared bins, so D_W is a ratio of integers and
weights; it is computed and compared as an exact fraction, and only shown as a
float. No rounding, no order of summation and no library can move a decision.

This is a deliberately plain gate. A two-sample distance has a bias at small
samples and sees healthy drift as well as faults; the demo's plan leaves room
for both, as docs/explanation/demo-gate.md measures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, isfinite
from typing import Any, Literal

from ledger.errors import MisuseError
from producers.gates.plan import Metric, Plan

Decision = Literal["pass", "warn", "fail", "skip"]

_NONFINITE: tuple[Decision, str] = ("fail", "nonfinite_metric")
_WARMUP: tuple[Decision, str] = ("skip", "warmup")
_INSUFFICIENT: tuple[Decision, str] = ("skip", "insufficient_evidence")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The counts of one metric over the plan's bins, in two windows.

    Only finite values are counted: a recent window whose counts do not add up
    to the plan's samples held a value that was not finite.
    """

    reference: tuple[int, ...]
    recent: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One evaluation of the gate: the decision, how it came about, and the counts."""

    iter: int
    decision: Decision
    reason: str
    evaluated: bool
    policy: str
    worst_dw: float | None
    eps_eff: float | None
    per_metric_tv: Mapping[str, float | None]
    evidence_total: int
    min_evidence: int
    evidence: Mapping[str, Evidence]

    def as_data(self) -> dict[str, Any]:
        """Return the check as the payload of ``gate.checked``; no number is ``null`` for NaN."""
        nonfinite = self.reason == _NONFINITE[1]
        return {
            "iter": self.iter,
            "decision": self.decision,
            "audit": {
                "evaluated": self.evaluated,
                "reason": self.reason,
                "policy": self.policy,
                "worst_DW": "NaN" if nonfinite else self.worst_dw,
                "eps_eff": self.eps_eff,
                "per_metric_tv": {
                    name: "NaN" if tv is None else tv for name, tv in self.per_metric_tv.items()
                },
                "evidence_total": self.evidence_total,
                "min_evidence": self.min_evidence,
            },
            "evidence": {
                name: {"reference": list(e.reference), "recent": list(e.recent)}
                for name, e in self.evidence.items()
            },
        }


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
    plan: Plan, evidence: Mapping[str, Evidence], history: Sequence[str], *, iteration: int
) -> Check:
    """Decide the check at *iteration* from the counts and the run's earlier decisions.

    A value that was not finite fails at once. Skips neither add to a row nor end it.

    Raises:
        MisuseError: The evidence is not of this plan's metrics and bins.
    """
    _check_shape(plan, evidence)
    distances = _distances(evidence)
    broken = sorted(name for name, e in evidence.items() if sum(e.recent) < plan.samples)
    total = sum(min(sum(e.reference), sum(e.recent)) for e in evidence.values())
    weighted = _weighted_mean(plan, distances) if len(distances) == len(evidence) else None
    shown: dict[str, float | None] = {name: float(tv) for name, tv in sorted(distances.items())}
    if broken:
        decision, reason = _NONFINITE
        shown |= dict.fromkeys(broken)
    elif iteration < plan.warmup:
        decision, reason = _WARMUP
    elif weighted is None or total < plan.min_evidence:
        decision, reason = _INSUFFICIENT
    else:
        reason = decision = _judge(plan, weighted, history)
    evaluated = decision != "skip"
    return Check(
        iter=iteration,
        decision=decision,
        reason=reason,
        evaluated=evaluated,
        policy=plan.policy,
        worst_dw=float(weighted) if evaluated and weighted is not None and not broken else None,
        eps_eff=plan.epsilon if evaluated else None,
        per_metric_tv=shown if evaluated else {},
        evidence_total=total,
        min_evidence=plan.min_evidence,
        evidence=dict(evidence),
    )


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


def _judge(plan: Plan, weighted: Fraction, history: Sequence[str]) -> Decision:
    if weighted <= Fraction(plan.epsilon):
        return "pass"
    row = 1
    for earlier in reversed([decision for decision in history if decision != "skip"]):
        if earlier == "pass":
            break
        row += 1
    return "fail" if row >= plan.persistence else "warn"
