"""docs/reference/gate.md, section 4, word by word: what the tests compare the gate with."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from gate_page import Event, quantum


class HistogramPage:
    """A run under a plan without ``engine``, as section 4 tells it."""

    def __init__(self, plan: dict[str, Any], start: int = 0) -> None:
        self.p = plan
        self.start = math.ceil(Fraction(start, plan["window"])) * plan["window"]
        self.t = self.start + plan["window"]
        self.values: dict[tuple[str, int], float] = {}
        self.accepted: list[int] = []  # windows, by their end
        self.exceeded: list[bool] = []

    def replay(self, events: Sequence[Event]) -> Iterator[dict[str, Any]]:
        for event in events:
            if event[0] == "observe":
                i, values = event[1:]
                if i % self.p["metric_interval"] == 0 and i >= self.start:
                    for m, x in values.items():
                        self.values.setdefault((m, i), x)
            elif event[0] == "check":
                assert event[1] == self.t
                yield self.check()

    def inside(self, m: str, end: int | None) -> list[float]:
        if end is None:
            return []
        every = range(end - self.p["window"], end)
        return [self.values[m, i] for i in every if (m, i) in self.values]

    def counts(self, m: str, end: int | None) -> list[int]:
        low, high = self.p["ranges"][m]
        bins, found = self.p["bins"], [0] * self.p["bins"]
        for x in self.inside(m, end):
            if math.isfinite(x):
                clipped = low if x < low else min(x, high)
                place = math.floor((clipped - low) / (high - low) * bins)
                found[bins - 1 if place == bins else place] += 1
        return found

    def loss(self, end: int | None) -> Fraction | None:
        found = [q for x in self.inside("loss", end) if (q := quantum(x)) is not None]
        return Fraction(sum(found), len(found)) if found else None

    def distance(self, reference: list[int], recent: list[int]) -> Fraction | None:
        r, n = sum(reference), sum(recent)
        if not r or not n:
            return None
        both = zip(reference, recent, strict=True)
        return sum((abs(Fraction(p, n) - Fraction(q, r)) for q, p in both), Fraction()) / 2

    def judge(self, tvs: dict[str, Fraction], weighted: Fraction, low: bool) -> tuple[str, bool]:  # noqa: FBT001 - a test's helper
        p, epsilon = self.p, Fraction(self.p["epsilon"])
        exceeds = weighted > epsilon
        if p.get("min_metrics_exceeding") is not None:
            needed = min(p["min_metrics_exceeding"], len(tvs))
            exceeds = exceeds and sum(tv > epsilon for tv in tvs.values()) >= needed
        if p["policy"] == "either":
            return ("fail" if exceeds or low else "pass"), exceeds
        if p["policy"] == "conjunction":
            return ("fail" if exceeds and low else "warn" if exceeds else "pass"), exceeds
        before = [*[False] * p["persistence"], *self.exceeded]
        if exceeds and all(before[len(before) - p["persistence"] + 1 :]):
            return "fail", True
        return ("warn" if exceeds or low else "pass"), exceeds

    def check(self) -> dict[str, Any]:
        p, names = self.p, list(self.p["ranges"])
        reference = self.accepted[-2] if len(self.accepted) > 1 else None
        evidence = {
            m: {"reference": self.counts(m, reference), "recent": self.counts(m, self.t)}
            for m in names
        }
        found = {m: self.distance(e["reference"], e["recent"]) for m, e in evidence.items()}
        tvs = {m: tv for m, tv in found.items() if tv is not None}
        total = sum(min(sum(e["reference"]), sum(e["recent"])) for e in evidence.values())
        short = [
            m for m in names if sum(evidence[m]["recent"]) < p["window"] // p["metric_interval"]
        ]
        worst: Any = None
        shown: dict[str, Any] = {}
        exceeds: bool | None = None
        if short:
            decision, reason, worst, exceeds = "fail", "nonfinite_metric", "NaN", True
            shown = {m: float(tv) for m, tv in tvs.items()} | dict.fromkeys(short, "NaN")
        elif self.t < p["warmup"]:
            decision, reason = "skip", "warmup"
        elif len(tvs) < len(names) or total < p["min_evidence"]:
            decision, reason = "skip", "insufficient_evidence"
        else:
            weights = {m: Fraction(w) for m, w in p["weights"].items()}
            weighted = sum((weights[m] * tvs[m] for m in names), Fraction()) / sum(weights.values())
            low = False
            before, now = self.loss(reference), self.loss(self.t)
            if p.get("gain") is not None and before is not None and now is not None:
                low = (before - now) / 2**20 < Fraction(p["gain"] * 0.6931471805599453)
            decision, exceeds = self.judge(tvs, weighted, low)
            reason, worst = decision, float(weighted)
            shown = {m: float(tv) for m, tv in tvs.items()}
        if exceeds is not None:
            self.exceeded.append(exceeds)
        if decision in {"pass", "skip"}:
            self.accepted.append(self.t)
        told = {
            "iter": self.t,
            "decision": decision,
            "audit": {
                "evaluated": decision != "skip",
                "reason": reason,
                "policy": p["policy"],
                "worst_DW": worst,
                "eps_eff": None if decision == "skip" else p["epsilon"],
                "per_metric_tv": shown,
                "evidence_total": total,
                "min_evidence": p["min_evidence"],
            },
            "evidence": evidence,
        }
        self.t += p["window"]
        return told
