"""The histogram gate, decided again (gate.md section 4)."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from verifier.quantum import quantum

__all__ = ["Histogram"]

_BIT = 0.6931471805599453
_LOSS = "loss"
_QUANTA = 1 << 20  # of the integer that a loss becomes, in one unit of the loss


class _Counts:
    """One window, binned; and the sum of its finite losses, whether or not they are binned.

    Bins are there from their first value on: a plan with many bins costs nothing by itself.
    """

    __slots__ = ("bins", "loss", "losses", "total")

    def __init__(self) -> None:
        self.bins: dict[str, Counter[int]] = {}
        self.total: Counter[str] = Counter()
        self.loss = 0
        self.losses = 0

    def add(self, name: str, place: int) -> None:
        self.bins.setdefault(name, Counter())[place] += 1
        self.total[name] += 1

    def row(self, name: str, bins: int) -> list[int]:
        """Return the counts of all bins of a metric."""
        row = [0] * bins
        for place, count in self.bins.get(name, {}).items():
            row[place] = count
        return row


@dataclass(frozen=True, slots=True)
class _Said:
    """A decision and what is recorded of it; ``exceeds`` is what the next checks need."""

    decision: str
    reason: str
    distance: float | str | None = None
    variations: Mapping[str, float | str] = field(default_factory=dict)
    exceeds: bool = False


class Histogram:
    """Decides one window after the other."""

    def __init__(self, gate: Mapping[str, Any]) -> None:
        """Take a plan in which ``verifier.plan`` found no fault."""
        self._plan = gate
        self._bins: int = gate["bins"]
        self._ranges = {
            name: (float(low), float(high)) for name, (low, high) in sorted(gate["ranges"].items())
        }
        self._weights = {name: Fraction(float(w)) for name, w in gate["weights"].items()}
        self._epsilon = Fraction(float(gate["epsilon"]))
        gain = gate.get("gain")
        self._gain = None if gain is None else float(gain) * _BIT
        self._window = _Counts()
        self._accepted: deque[_Counts] = deque(maxlen=2)
        self._streak = 0  # checks in a row that exceeded, the skipped ones left out
        self._at = -1
        self._taken: set[str] = set()

    def observe(self, iteration: int, values: Mapping[str, object]) -> None:
        """Take an observation; of an iteration that is observed twice the first value counts."""
        if iteration != self._at:
            self._at, self._taken = iteration, set()
        window = self._window
        for name, (low, high) in self._ranges.items():
            if name in values and name not in self._taken:
                place = _bin(values[name], low, high, bins=self._bins)
                if place is not None:
                    window.add(name, place)
        if _LOSS in values and _LOSS not in self._taken:
            loss = quantum(values[_LOSS])
            if loss is not None:
                window.loss += loss
                window.losses += 1
        self._taken |= (self._ranges.keys() | {_LOSS}) & values.keys()

    def anchor(self, iteration: int) -> None:
        """Take a declared change, which has no effect on this gate."""

    def decide(self, end: int) -> dict[str, object]:
        """Decide the window that ends at *end*, and return the payload of its check."""
        window = self._window
        self._window = _Counts()
        reference = self._accepted[0] if len(self._accepted) > 1 else _Counts()
        total = sum(min(reference.total[name], window.total[name]) for name in self._ranges)
        said = self._decide(end, reference, window, total=total)
        if said.decision != "skip":
            self._streak = self._streak + 1 if said.exceeds else 0
        if said.decision in {"pass", "skip"}:
            self._accepted.append(window)
        return {
            "iter": end,
            "decision": said.decision,
            "audit": {
                "evaluated": said.decision != "skip",
                "reason": said.reason,
                "policy": self._plan["policy"],
                "worst_DW": said.distance,
                "eps_eff": None if said.decision == "skip" else self._plan["epsilon"],
                "per_metric_tv": said.variations,
                "evidence_total": total,
                "min_evidence": self._plan["min_evidence"],
            },
            "evidence": {
                name: {
                    "reference": reference.row(name, self._bins),
                    "recent": window.row(name, self._bins),
                }
                for name in self._ranges
            },
            "forecast": None,
        }

    def _decide(self, end: int, reference: _Counts, window: _Counts, *, total: int) -> _Said:
        """Decide, in the order of section 4."""
        full = self._plan["window"] // self._plan["metric_interval"]
        variations = {
            name: _variation(reference.bins[name], window.bins[name])
            for name in self._ranges
            if reference.total[name] and window.total[name]
        }
        tvs: dict[str, float | str] = {name: _nearest(tv) for name, tv in variations.items()}
        short = [name for name in self._ranges if window.total[name] < full]
        if short:
            tvs.update(dict.fromkeys(short, "NaN"))
            return _Said("fail", "nonfinite_metric", "NaN", tvs, exceeds=True)
        if end < self._plan["warmup"]:
            return _Said("skip", "warmup")
        if len(variations) < len(self._ranges) or total < self._plan["min_evidence"]:
            return _Said("skip", "insufficient_evidence")
        weighted = sum((self._weights[m] * tv for m, tv in variations.items()), start=Fraction(0))
        distance = weighted / sum(self._weights.values())
        exceeds = distance > self._epsilon and self._enough(variations)
        decision = self._by_policy(exceeds=exceeds, low=self._gain_is_low(reference, window))
        return _Said(decision, decision, _nearest(distance), tvs, exceeds=exceeds)

    def _enough(self, variations: Mapping[str, Fraction]) -> bool:
        """Tell whether as many metrics exceed by themselves as the plan asks for."""
        least = self._plan.get("min_metrics_exceeding")
        exceeding = sum(tv > self._epsilon for tv in variations.values())
        return least is None or exceeding >= min(least, len(variations))

    def _gain_is_low(self, reference: _Counts, window: _Counts) -> bool:
        if self._gain is None or not reference.losses or not window.losses:
            return False
        gain = Fraction(reference.loss, reference.losses) - Fraction(window.loss, window.losses)
        return gain / _QUANTA < self._gain

    def _by_policy(self, *, exceeds: bool, low: bool) -> str:
        policy = self._plan["policy"]
        if policy == "either":
            return "fail" if exceeds or low else "pass"
        if policy == "conjunction":
            failed, warned = exceeds and low, exceeds
        else:
            failed = exceeds and self._streak >= self._plan["persistence"] - 1
            warned = exceeds or low
        if failed:
            return "fail"
        return "warn" if warned else "pass"


def _bin(value: object, low: float, high: float, *, bins: int) -> int | None:
    """Return the bin of a finite value that is clipped into its range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None  # "NaN", "Infinity", "-Infinity"
    clipped = min(max(float(value), low), high)
    # A quotient just below 1 may round to it, and the last bin is the one for `high`.
    return min(math.floor((clipped - low) / (high - low) * bins), bins - 1)


def _variation(reference: Counter[int], recent: Counter[int]) -> Fraction:
    """Return the total variation distance of two histograms, neither of which is empty."""
    whole, part = reference.total(), recent.total()
    places = reference.keys() | recent.keys()
    apart = sum(abs(recent[place] * whole - reference[place] * part) for place in places)
    return Fraction(apart, 2 * whole * part)


def _nearest(fraction: Fraction) -> float:
    """Return the binary64 nearest to *fraction*; Python rounds a quotient of integers so."""
    return fraction.numerator / fraction.denominator
