"""docs/reference/gate.md, section 3, word by word: what the tests compare the gate with.

Nothing here is shared with the gate: plain dictionaries, fractions, one list of
blocks, everything computed anew at every check.
"""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

Event = tuple[Any, ...]  # ("observe", i, values) | ("anchor", i) | ("check", t)


def quantum(x: float) -> int | None:
    """Section 1."""
    if not math.isfinite(x) or abs(x) >= 2**63:
        return None
    scaled = Fraction(x) * 2**20
    low = math.floor(scaled)
    rest = scaled - low
    if rest == Fraction(1, 2):
        return low if low % 2 == 0 else low + 1
    return low + 1 if rest > Fraction(1, 2) else low


class Page:
    """A run, as the page tells it."""

    def __init__(self, plan: dict[str, Any], start: int = 0) -> None:
        self.p = plan
        self.W, self.B, self.I = plan["window"], plan["block"], plan["metric_interval"]
        self.s, self.nb, self.L = self.B // self.I, self.W // self.B, plan["reference"]
        self.start = math.ceil(Fraction(start, self.W)) * self.W
        self.t = self.start + self.W
        self.values: dict[tuple[str, int], float] = {}
        self.cut: dict[tuple[str, int], list[int]] = {}
        self.history: list[int] = []
        self.misses: list[tuple[str, str, int, Fraction]] = []
        self.means: list[Fraction] = []
        self.regime = self.held = 0
        self.exceeded: list[bool] = []
        self.anchors = [0]
        self.judged = [m for m, way in plan["metrics"].items() if way != "stall"]

    def replay(self, events: Sequence[Event]) -> Iterator[dict[str, Any]]:
        for event in events:
            if event[0] == "observe":
                self.observe(*event[1:])
            elif event[0] == "anchor":
                self.anchor(event[1])
            else:
                assert event[1] == self.t
                yield self.check()

    def observe(self, i: int, values: dict[str, float]) -> None:
        if i % self.I == 0 and i >= self.start:
            for m, x in values.items():
                if m in self.p["metrics"]:
                    self.values.setdefault((m, i), x)

    def anchor(self, i: int) -> None:
        self.history = [j for j in self.history if j * self.B >= i]
        self.misses, self.means, self.exceeded = [], [], []
        self.regime, self.held = self.regime + 1, 0
        self.anchors.append(i)

    # Section 3.1
    def qs(self, m: str, j: int) -> list[int]:
        if (m, j) in self.cut:
            return self.cut[m, j]
        inside = range(j * self.B, (j + 1) * self.B)
        found = [quantum(self.values[m, i]) for i in inside if (m, i) in self.values]
        finite = [q for q in found if q is not None]
        if (j + 1) * self.B <= self.t - self.W:  # its window was checked: it cannot change
            self.cut[m, j] = finite
        return finite

    def whole(self, m: str, j: int) -> bool:
        return len(self.qs(m, j)) == self.s

    def y(self, m: str, j: int) -> Fraction:
        return Fraction(sum(self.qs(m, j)), self.s)

    # Section 3.3
    def look(self, m: str, view: dict[str, Any], k: int) -> tuple[list[int], list[int]] | None:
        b, g = view["blocks"], view["gap"]
        tested = list(range(k - b, k))
        reference = [j for j in self.history if j < k - b - g][-self.L :]
        if any(j not in self.history for j in tested) or len(reference) < self.L:
            return None
        if not all(self.whole(m, j) for j in tested + reference):
            return None
        return tested, reference

    def a(self, view: dict[str, Any], k: int, x: list[int]) -> list[Fraction]:
        mean = Fraction(sum(x), self.L)
        sxx = sum((Fraction(i) - mean) ** 2 for i in x)
        c = Fraction(2 * k - view["blocks"] - 1, 2)
        return [Fraction(1, self.L) + (i - mean) * (c - mean) / sxx for i in x]

    def miss(self, m: str, view: dict[str, Any], k: int) -> Fraction | None:
        found = self.look(m, view, k)
        if found is None:
            return None
        tested, x = found
        forecast = sum(a * self.y(m, j) for a, j in zip(self.a(view, k, x), x, strict=True))
        return Fraction(sum(self.y(m, j) for j in tested)) / len(tested) - forecast

    # Section 3.4
    def noise(self, m: str, x: list[int]) -> Fraction | None:
        terms = [
            (self.y(m, r) - 2 * self.y(m, q) + self.y(m, p)) ** 2 / 6
            for p, q, r in zip(x, x[1:], x[2:], strict=False)
            if r == p + 2
        ]
        return sum(terms, Fraction()) / len(terms) if terms else None

    def past(self, m: str, view: dict[str, Any], position: int) -> Fraction | None:
        mine = [
            e
            for n, v, k, e in self.misses
            if (n, v) == (m, view["name"]) and k <= position - view["blocks"]
        ][-view["errors"] :]
        if len(mine) < self.p["min_errors"]:
            return None
        return sum((e**2 for e in mine), Fraction()) / len(mine)

    def score(self, m: str, view: dict[str, Any]) -> dict[str, Any] | None:
        position = self.t // self.B
        e, found = self.miss(m, view, position), self.look(m, view, position)
        if e is None or found is None:
            return None
        tested, x = found
        sigma, v_p = self.noise(m, x), self.past(m, view, position)
        if sigma is None or v_p is None:
            return None
        v_t = sigma * (Fraction(1, view["blocks"]) + sum(a**2 for a in self.a(view, position, x)))
        way = self.p["metrics"][m]
        if (way == "rise" and e < 0) or (way == "fall" and e > 0):
            e = Fraction(0)
        v = max(v_t, v_p, Fraction(1))
        return {
            "view": view["name"],
            "e": e,
            "v": v,
            "z2": e**2 / v,
            "sigma": sigma,
            "v_p": v_p,
            "reference": x,
            "tested": tested,
        }

    def window_blocks(self) -> list[int]:
        return list(range((self.t - self.W) // self.B, self.t // self.B))

    def mean(self) -> Fraction | None:
        m = self.p["level"]
        if m is None or m not in self.judged:
            return None
        if not all(self.whole(m, j) for j in self.window_blocks()):
            return None
        return sum((self.y(m, j) for j in self.window_blocks()), Fraction()) / self.nb

    def level(self) -> dict[str, Any] | None:
        if self.p["level"] not in self.judged:
            return None
        first, mu = self.score(self.p["level"], self.p["views"][0]), self.mean()
        if first is None or mu is None or not self.means:
            return None
        e = max(Fraction(0), mu - min(self.means))
        v = max(2 * first["sigma"] / self.nb, first["v_p"], Fraction(1))
        return first | {
            "view": "level",
            "e": e,
            "v": v,
            "z2": e**2 / v,
            "tested": self.window_blocks(),
        }

    def scores(self) -> dict[str, dict[str, Any]]:
        best: dict[str, dict[str, Any]] = {}
        for m in self.judged:
            found = [self.score(m, view) for view in self.p["views"]]
            if m == self.p["level"]:
                found.append(self.level())
            for one in found:
                if one is not None and (m not in best or one["z2"] > best[m]["z2"]):
                    best[m] = one
        return best

    # Section 3.5
    def decide(  # noqa: PLR0911 - as many outcomes as the page has
        self, scores: dict[str, dict[str, Any]], total: int
    ) -> tuple[str, str, bool | None]:
        """Return decision, reason, and whether it exceeded (None for a skip)."""
        p, window = self.p, range(self.t - self.W, self.t, self.I)
        seen = {
            m: [self.values[m, i] for i in window if (m, i) in self.values] for m in p["metrics"]
        }
        if any(quantum(x) is None for row in seen.values() for x in row):
            return "fail", "nonfinite_fail", False
        if self.t < p["warmup"]:
            return "skip", "not_evaluated_warmup", None
        for m, way in p["metrics"].items():
            if way == "stall" and len(seen[m]) == self.W // self.I and all(x == 0 for x in seen[m]):
                return "fail", "stalled_fail", False
        if not scores:
            return "skip", "not_evaluated_insufficient_history", None
        if total < p["min_evidence"]:
            return "skip", "not_evaluated_insufficient_evidence", None
        driver = scores[self.driver(scores)]
        word = "level" if driver["view"] == "level" else "change"
        exceeds = driver["z2"] > Fraction(p["fail_z"]) ** 2
        row = (
            self.exceeded[len(self.exceeded) - p["persistence"] + 1 :]
            if p["persistence"] > 1
            else []
        )
        if exceeds and len(self.exceeded) >= p["persistence"] - 1 and all(row):
            return "fail", f"{word}_fail", True
        if exceeds or driver["z2"] > Fraction(p["warn_z"]) ** 2:
            return "warn", f"{word}_warn", exceeds
        before = {m for m, i in self.values if self.start <= i < self.t - self.W}
        if any(len(seen[m]) < self.W // self.I for m in before):
            return "warn", "metric_lost_warn", False
        return "pass", "none_ok", False

    @staticmethod
    def driver(scores: dict[str, dict[str, Any]]) -> str:
        top = max(one["z2"] for one in scores.values())
        return min(m for m, one in scores.items() if one["z2"] == top)

    # Sections 3.2 and 3.6
    def check(self) -> dict[str, Any]:
        before = list(self.history)
        finite = {m: sum(len(self.qs(m, j)) for j in self.window_blocks()) for m in self.judged}
        known = {m: sum(len(self.qs(m, j)) for j in before[-self.L :]) for m in self.judged}
        total = sum(min(finite[m], known[m]) for m in self.judged)
        remembered = list(self.misses)
        for j in self.window_blocks():
            if all(j * self.B >= i for i in self.anchors):
                self.history.append(j)
                for m in self.judged:
                    for view in self.p["views"]:
                        e = self.miss(m, view, j + 1)
                        if e is not None:
                            self.misses.append((m, view["name"], j + 1, e))
        scores = self.scores()
        decision, reason, exceeded = self.decide(scores, total)
        payload = self.payload(scores, decision, reason, total, len(before))
        mean = self.mean()
        if exceeded is not None:
            self.exceeded.append(exceeded)
        if decision == "fail":
            self.history, self.misses, self.held = before, remembered, self.held + 1
            if self.held == self.p["hold"]:
                self.history, self.misses, self.exceeded = [], [], []
                self.regime, self.held = self.regime + 1, 0
        else:
            self.held = 0
            begin = self.t - self.W
            if mean is not None and begin >= self.p["level_from"] and begin >= max(self.anchors):
                self.means.append(mean)
        self.t += self.W
        return payload

    def within(self, m: str, blocks: list[int]) -> Fraction:
        over = sum(
            (
                sum(q * q for q in self.qs(m, j))
                - Fraction(sum(self.qs(m, j)) ** 2, len(self.qs(m, j)))
                for j in blocks
            ),
            Fraction(),
        )
        under = sum(len(self.qs(m, j)) - 1 for j in blocks)
        return over / under if under else Fraction(0)

    def bound(self, m: str, one: dict[str, Any], square: Fraction) -> float:
        spread = 2 * (self.within(m, one["reference"]) + self.within(m, one["tested"]))
        return float(square / (square + spread)) if square else 0.0

    def payload(
        self,
        scores: dict[str, dict[str, Any]],
        decision: str,
        reason: str,
        total: int,
        history: int,
    ) -> dict[str, Any]:
        shown = {} if decision == "skip" or reason in {"nonfinite_fail", "stalled_fail"} else scores
        tv = {m: self.bound(m, one, one["e"] ** 2) for m, one in shown.items()}
        z = {m: math.sqrt(float(one["z2"])) for m, one in shown.items()}
        worst: Any = "NaN" if reason == "nonfinite_fail" else None
        driver = view = eps = None
        if shown:
            driver = self.driver(shown)
            worst, view = tv[driver], shown[driver]["view"]
            c = Fraction(self.p["fail_z"] if decision == "fail" else self.p["warn_z"])
            eps = self.bound(driver, shown[driver], c**2 * shown[driver]["v"])
        return {
            "iter": self.t,
            "decision": decision,
            "audit": {
                "evaluated": decision != "skip",
                "reason": reason,
                "policy": self.p["policy"],
                "worst_DW": worst,
                "eps_eff": eps,
                "per_metric_tv": tv,
                "evidence_total": total,
                "min_evidence": self.p["min_evidence"],
            },
            "evidence": {},
            "forecast": {
                "metric": driver,
                "view": view,
                "z": z[driver] if driver is not None else None,
                "scores": {m: {"view": one["view"], "z": z[m]} for m, one in shown.items()},
                "regime": self.regime,
                "held": self.held,
                "history": history,
            },
        }
