"""The forecasting gate, decided again (gate.md section 3)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from verifier.blocks import Block, History, Pattern, Window
from verifier.scores import Miss, Score, Trial, miss, noise, past, scored, spread

__all__ = ["Forecast"]

_ONE = Fraction(1)
_UNSCORED = frozenset({"nonfinite_fail", "stalled_fail"})


@dataclass(frozen=True, slots=True)
class _Verdict:
    """``exceeds`` is whether the scores were reached, and the driver's is beyond ``fail_z``."""

    decision: str
    reason: str
    exceeds: bool = False


class Forecast:
    """Decides one window after the other."""

    def __init__(self, gate: Mapping[str, Any]) -> None:
        """Take a plan in which ``verifier.plan`` found no fault."""
        self._plan = gate
        directions = gate["metrics"]
        self._metrics = [name for name in sorted(directions) if directions[name] != "stall"]
        stall = [name for name in directions if directions[name] == "stall"]
        self._size: int = gate["block"] // gate["metric_interval"]
        self._views: Sequence[Mapping[str, Any]] = gate["views"]
        self._warn, self._fail = (Fraction(float(gate[name])) for name in ("warn_z", "fail_z"))
        self._window = Window(self._metrics, stall, block=gate["block"])
        reach = max(view["blocks"] + view["gap"] for view in self._views)
        self._history = History(reference=gate["reference"], reach=reach)
        self._misses: list[dict[int, list[Miss]]] = [{} for _ in self._views]
        self._patterns: list[Pattern | None] = [None] * len(self._views)
        self._floor = 0
        self._regime = 0
        self._held = 0
        self._streak = 0  # checks in a row that exceeded, the skipped ones left out
        self._least: Fraction | None = None

    def observe(self, iteration: int, values: Mapping[str, object]) -> None:
        """Take an observation in the window that is due, at a multiple of the interval."""
        self._window.observe(iteration, values)

    def anchor(self, iteration: int) -> None:
        """Forget what was before *iteration* (3.2)."""
        self._begin_anew()
        self._held = 0
        self._floor = max(self._floor, iteration)
        self._least = None

    def _begin_anew(self) -> None:
        self._history.clear()
        for of_view in self._misses:
            of_view.clear()
        self._regime += 1
        self._streak = 0

    def decide(self, end: int) -> dict[str, object]:
        """Decide the window that ends at *end*, and return the payload of its check."""
        begin, length = end - self._plan["window"], self._plan["block"]
        blocks = [self._window.block(index) for index in range(begin // length, end // length)]
        before = {"regime": self._regime, "held": self._held, "history": len(self._history)}
        evidence = self._evidence(blocks)
        appended = self._append(blocks)
        scores = self._scores(end // length, blocks)
        driver = max(scores, key=lambda name: scores[name].square, default=None)
        best = None if driver is None else scores[driver]
        verdict = self._decision(end, best, evidence=evidence)
        self._settle(begin, verdict, appended=appended, blocks=blocks)
        self._window.start(end)
        named = {} if verdict.reason in _UNSCORED or verdict.decision == "skip" else scores
        return {
            "iter": end,
            "decision": verdict.decision,
            "audit": {**self._audit(verdict, named, driver), "evidence_total": evidence},
            "evidence": {},
            "forecast": {**_forecast(named, driver), **before},
        }

    def _evidence(self, blocks: Sequence[Block]) -> int:
        """Return ``evidence_total`` (3.6), before the window is appended."""
        reference = self._history.last()
        return sum(
            min(sum(block.count[m] for block in blocks), sum(b.count[m] for b in reference))
            for m in range(len(self._metrics))
        )

    # -- history

    def _append(self, blocks: Sequence[Block]) -> int:
        """Append the window's blocks, computing the misses; return how many there were (3.2)."""
        self._patterns = [None] * len(self._views)
        appended = 0
        for block in blocks:
            if block.index * self._plan["block"] < self._floor:
                continue
            self._history.append(block)
            appended += 1
            for number, view in enumerate(self._views):
                self._miss(number, view, position=block.index + 1)
        return appended

    def _miss(self, number: int, view: Mapping[str, Any], *, position: int) -> None:
        pattern = self._history.pattern(position, blocks=view["blocks"], gap=view["gap"])
        self._patterns[number] = pattern
        if pattern is None:
            return
        for metric in range(len(self._metrics)):
            found = miss(pattern, metric, self._size)
            if found is not None:
                self._misses[number].setdefault(metric, []).append(found)

    def _settle(
        self,
        begin: int,
        verdict: _Verdict,
        *,
        appended: int,
        blocks: Sequence[Block],
    ) -> None:
        """Accept the window or not, and remember what the next checks need."""
        if verdict.decision != "skip":
            self._streak = self._streak + 1 if verdict.exceeds else 0
        if verdict.decision == "fail":
            self._refuse(appended, begin // self._plan["block"])
        else:
            self._held = 0
            self._note_level(begin, blocks)
        self._history.trim()
        for view, of_view in zip(self._views, self._misses, strict=True):
            for misses in of_view.values():
                del misses[: -(view["errors"] + view["blocks"])]

    def _refuse(self, appended: int, first: int) -> None:
        """Take the window's blocks and misses out again (3.2, step 3)."""
        self._history.take_back(appended)
        for of_view in self._misses:
            for misses in of_view.values():
                while misses and misses[-1][0] > first:
                    misses.pop()
        self._held += 1
        if self._held == self._plan["hold"]:
            self._begin_anew()
            self._held = 0

    def _note_level(self, begin: int, blocks: Sequence[Block]) -> None:
        """Take the window's mean into account as the least so far (3.4)."""
        mean = self._level_mean(blocks)
        if mean is None or begin < max(self._plan["level_from"], self._floor):
            return
        self._least = mean if self._least is None else min(mean, self._least)

    def _level_mean(self, blocks: Sequence[Block]) -> Fraction | None:
        if self._plan["level"] is None:
            return None
        level = self._metrics.index(self._plan["level"])
        if any(block.count[level] != self._size for block in blocks):
            return None
        total = sum(block.total[level] for block in blocks)
        return Fraction(total, self._size * len(blocks))

    # -- scores

    def _scores(self, position: int, blocks: Sequence[Block]) -> dict[str, Score]:
        """Return the score of each metric that has one, the names in code point order (3.4)."""
        scores = {}
        for metric, name in enumerate(self._metrics):
            found = list(self._views_of(metric, name, position=position, blocks=blocks))
            if found:
                scores[name] = max(found, key=lambda score: score.square)
        return scores

    def _views_of(
        self, metric: int, name: str, *, position: int, blocks: Sequence[Block]
    ) -> Iterator[Score]:
        first: tuple[Trial, Fraction, Fraction] | None = None
        for number, view in enumerate(self._views):
            found = self._trial(number, metric, position)
            if found is None:
                continue
            first = found if number == 0 else first
            yield scored(view["name"], found[0], self._plan["metrics"][name])
        if name == self._plan["level"] and first is not None:
            mean = self._level_mean(blocks)
            if mean is not None and self._least is not None:
                trial, noise_of_block, v_past = first
                variance = max(2 * noise_of_block / len(blocks), v_past, _ONE)
                error = max(Fraction(0), mean - self._least)
                trial = Trial(error, variance, blocks, trial.reference)
                yield scored("level", trial, "two_sided")

    def _trial(
        self, number: int, metric: int, position: int
    ) -> tuple[Trial, Fraction, Fraction] | None:
        """Return a view's miss at *position* with its variance, and the variance's two sources."""
        view, pattern = self._views[number], self._patterns[number]
        misses = self._misses[number].get(metric)
        if pattern is None or not misses or misses[-1][0] != position:
            return None
        of_block = noise(pattern.reference, metric, self._size)
        earlier = [each for each in misses if each[0] <= position - view["blocks"]]
        earlier = earlier[-view["errors"] :]
        if of_block is None or len(earlier) < self._plan["min_errors"]:
            return None
        v_past = past(earlier)
        squares = Fraction(pattern.square_sum, pattern.square_divisor)
        v_theory = of_block * (Fraction(1, view["blocks"]) + squares)
        _, numerator, denominator = misses[-1]
        variance = max(v_theory, v_past, _ONE)
        error = Fraction(numerator, denominator)
        return Trial(error, variance, pattern.tested, pattern.reference), of_block, v_past

    # -- the decision

    def _decision(self, end: int, best: Score | None, *, evidence: int) -> _Verdict:
        """Decide, in the order of 3.5."""
        full = self._plan["window"] // self._plan["metric_interval"]
        if self._window.nonfinite:
            return _Verdict("fail", "nonfinite_fail")
        if end < self._plan["warmup"]:
            return _Verdict("skip", "not_evaluated_warmup")
        if full in self._window.zeros.values():
            return _Verdict("fail", "stalled_fail")
        if best is None:
            return _Verdict("skip", "not_evaluated_insufficient_history")
        if evidence < self._plan["min_evidence"]:
            return _Verdict("skip", "not_evaluated_insufficient_evidence")
        return self._by_score(best, lost=self._window.lost(full))

    def _by_score(self, best: Score, *, lost: bool) -> _Verdict:
        kind = "level" if best.view == "level" else "change"
        exceeds = best.square > self._fail**2
        if exceeds and self._streak >= self._plan["persistence"] - 1:
            return _Verdict("fail", f"{kind}_fail", exceeds=True)
        if exceeds or best.square > self._warn**2:
            return _Verdict("warn", f"{kind}_warn", exceeds=exceeds)
        return _Verdict("warn", "metric_lost_warn") if lost else _Verdict("pass", "none_ok")

    # -- what is recorded

    def _audit(
        self, verdict: _Verdict, scores: Mapping[str, Score], driver: str | None
    ) -> dict[str, object]:
        """Return the members of ``audit`` but for ``evidence_total`` (3.6)."""
        spreads = {name: self._spread(name, score.trial) for name, score in scores.items()}
        bounds = {
            name: _share(score.trial.error**2, spreads[name]) for name, score in scores.items()
        }
        limit = None
        if driver is not None and driver in scores:
            factor = self._fail if verdict.decision == "fail" else self._warn
            limit = _share(factor**2 * scores[driver].trial.variance, spreads[driver])
        nonfinite = verdict.reason == "nonfinite_fail"
        return {
            "evaluated": verdict.decision != "skip",
            "reason": verdict.reason,
            "policy": self._plan["policy"],
            "worst_DW": "NaN" if nonfinite else bounds.get(driver or ""),
            "eps_eff": limit,
            "per_metric_tv": bounds,
            "min_evidence": self._plan["min_evidence"],
        }

    def _spread(self, name: str, trial: Trial) -> Fraction:
        """Return s_r^2 + s_w^2."""
        metric = self._metrics.index(name)
        return spread(trial.reference, metric, self._size) + spread(
            trial.tested, metric, self._size
        )


def _share(square: Fraction, within: Fraction) -> float:
    """Return the bound on the total variation of means apart by the root of *square* (3.6)."""
    return _nearest(square / (square + 2 * within)) if square else 0.0


def _forecast(scores: Mapping[str, Score], driver: str | None) -> dict[str, object]:
    """Return the members of ``forecast`` that come from the scores."""
    best = scores.get(driver or "")
    return {
        "metric": None if best is None else driver,
        "view": None if best is None else best.view,
        "z": None if best is None else _root(best.square),
        "scores": {
            name: {"view": score.view, "z": _root(score.square)} for name, score in scores.items()
        },
    }


def _nearest(fraction: Fraction) -> float:
    """Return the binary64 nearest to *fraction*; Python rounds a quotient of integers so."""
    return fraction.numerator / fraction.denominator


def _root(square: Fraction) -> float:
    return math.sqrt(_nearest(square))
