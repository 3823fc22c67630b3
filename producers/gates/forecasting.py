"""Follow a run's metrics window by window under a forecast plan (gate.md, section 3).

No clock, no file, no torch: numbers in, checks out, all of them exact. Each
metric is forecast from its own past, and its miss is measured against what the
same forecaster missed before; so a healthy model may move, if it moves as it did.

>>> from producers.gates.forecast import ForecastPlan, View
>>> plan = ForecastPlan(preset="p", window=4, block=2, warmup=0, reference=4,
...                     views=(View("window", 2, 0, 8),), min_errors=2,
...                     metrics={"loss": "rise"}, warn_z=5.0, fail_z=6.0, min_evidence=1)
>>> gate = ForecastGate(plan)
>>> for i in range(24):
...     gate.observe(i, {"loss": 9.0 if i > 19 else 4 - i / 10 + (i % 5) / 50})
...     check = gate.check(i + 1)
...     if check:
...         print(check.iter, check.decision, check.reason)
4 skip not_evaluated_insufficient_history
8 skip not_evaluated_insufficient_history
12 skip not_evaluated_insufficient_history
16 skip not_evaluated_insufficient_history
20 pass none_ok
24 fail change_fail
"""

from collections.abc import Mapping
from fractions import Fraction
from math import nan, sqrt

from producers.gates.blocks import History, Sums, as_float, quantise, summed
from producers.gates.check import Check, Decision, Forecast, Score
from producers.gates.forecast import LEVEL, ForecastPlan
from producers.gates.views import (
    Misses,
    Place,
    Scored,
    distances,
    look,
    score,
    score_level,
    worst,
)
from producers.gates.windows import Windows

_NOT_SCORED = {"nonfinite_fail", "stalled_fail"}


class ForecastGate:
    """The forecasting gate of one run."""

    def __init__(self, plan: ForecastPlan, *, start: int = 0) -> None:
        """Begin with the first window from iteration *start* on, with an empty history."""
        self._plan = plan
        self._windows = Windows(window=plan.window, interval=plan.metric_interval, start=start)
        self._seen: dict[str, dict[int, float]] = {name: {} for name in plan.metrics}
        reach = max(view.blocks + view.gap for view in plan.views)
        self._history = History(plan.judged, keep=plan.reference + reach + plan.blocks)
        self._misses = {
            (name, view.name): Misses(keep=view.errors + view.blocks + plan.blocks)
            for name in plan.judged
            for view in plan.views
        }
        self._warn2, self._fail2 = Fraction(plan.warn_z) ** 2, Fraction(plan.fail_z) ** 2
        self._regime = self._held = 0
        self._row = 0  # windows that exceeded, one after the other, in this regime
        self._anchored = 0  # blocks and windows that begin before this are not accepted
        self._least: int | None = None  # the level view's least window: its sum of S1
        self._known: set[str] = set()  # metrics that were observed before this window

    @property
    def plan(self) -> ForecastPlan:
        """What the gate was told at the start."""
        return self._plan

    def wants(self, iteration: int) -> bool:
        """Whether an observation at *iteration* would count."""
        return self._windows.wants(iteration)

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take in one iteration's metrics; of two values for one of them the first counts.

        Raises:
            MisuseError: The iteration is before the last check or after one that is due.
        """
        if self._windows.takes(iteration):
            for name in self._seen.keys() & values.keys():
                self._seen[name].setdefault(iteration, as_float(values[name]))

    def check(self, done: int) -> Check | None:
        """Return a check if a window ends where *done* iterations are complete.

        Raises:
            MisuseError: The end of a window was passed over.
        """
        if not self._windows.ends(done):
            return None
        blocks = self._blocks()
        total, level = self._evidence(blocks), self._level_sum(blocks)
        before = len(self._history)
        places = self._append(blocks)
        scores = self._scores(places, level)
        decision, reason = self._decide(scores, total)
        check = self._told(scores, (decision, reason), total=total, history=before)
        self._settle(accepted=len(self._history) - before, level=level, failed=decision == "fail")
        self._windows.advance()
        for name, values in self._seen.items():
            if values:
                self._known.add(name)
            values.clear()
        return check

    def anchor(self, iteration: int) -> None:
        """Begin the history anew at *iteration*: a declared change, no fault.

        Raises:
            MisuseError: The iteration is before the last check or after one that is due.
        """
        self._windows.admit(iteration)
        self._anchored = max(self._anchored, iteration)
        self._history.clear()  # all of it is of windows before this one
        self._least = None
        self._begin_regime()

    def _blocks(self) -> dict[str, list[Sums]]:
        """Return each metric's sums over the blocks of the window, first to last."""
        plan, begin = self._plan, self._windows.begin
        cuts = range(begin, self._windows.due, plan.block)
        found = {}
        for name in plan.judged:
            exact = {i: quantise(x) for i, x in self._seen[name].items()}
            rows = [
                [
                    q
                    for i in range(cut, cut + plan.block, plan.metric_interval)
                    if (q := exact.get(i)) is not None
                ]
                for cut in cuts
            ]
            found[name] = [summed(row, plan.block_samples) for row in rows]
        return found

    def _evidence(self, blocks: Mapping[str, list[Sums]]) -> int:
        """Return ``evidence_total``: the smaller of a metric's two counts, over the metrics."""
        reference = -self._plan.reference
        return sum(
            min(sum(row.n for row in blocks[name]), sum(column.n[reference:]))
            for name, column in self._history.columns.items()
        )

    def _level_sum(self, blocks: Mapping[str, list[Sums]]) -> int | None:
        """Return the window's sum of the level metric, if it is whole in every block."""
        rows = blocks.get(self._plan.level or "", [])
        sums = [row.s1 for row in rows if row.s1 is not None]
        return sum(sums) if sums and len(sums) == len(rows) else None

    def _append(self, blocks: Mapping[str, list[Sums]]) -> list[Place]:
        """Accept the window's blocks, remember the misses, and return where the views look."""
        plan = self._plan
        places: list[Place] = []
        first = self._windows.begin // plan.block
        for step in range(plan.blocks):
            index = first + step
            if index * plan.block < self._anchored:
                continue
            self._history.append(index, {name: rows[step] for name, rows in blocks.items()})
            found = (
                look(view, self._history.order, position=index + 1, reference=plan.reference)
                for view in plan.views
            )
            places = [place for place in found if place is not None]
            for place in places:
                self._remember(place, index + 1)
        return places

    def _remember(self, place: Place, position: int) -> None:
        for name, column in self._history.columns.items():
            miss = place.miss(column)
            if miss is not None:
                self._misses[name, place.view.name].add(position, miss)

    def _scores(self, places: list[Place], level: int | None) -> dict[str, Scored]:
        """Return each metric's largest score, of those that have one."""
        found = {}
        for name in self._plan.judged:
            scores = self._views(name, places)
            if name == self._plan.level:
                scores += self._level(scores, level)
            if scores:
                found[name] = max(scores, key=lambda one: one.z2)  # of equals the first
        return found

    def _views(self, name: str, places: list[Place]) -> list[Scored]:
        """Return one metric's scores, in the order of the plan's views."""
        plan, column, found = self._plan, self._history.columns[name], []
        position = self._windows.due // plan.block
        for place in places:
            view = place.view
            past = self._misses[name, view.name].mean_square(
                until=position - view.blocks, most=view.errors, least=plan.min_errors
            )
            one = score(
                place, column, past, direction=plan.metrics[name], samples=plan.block_samples
            )
            if one is not None:
                found.append(one)
        return found

    def _level(self, scores: list[Scored], level: int | None) -> list[Scored]:
        """Return the level view's score, if the first view and an earlier window have one."""
        plan = self._plan
        if level is None or self._least is None:
            return []
        if not scores or scores[0].view != plan.views[0].name:
            return []
        e = Fraction(max(0, level - self._least), plan.samples)
        window = slice(len(self._history.order) - plan.blocks, len(self._history.order))
        return [score_level(scores[0], name=LEVEL, e=e, blocks=plan.blocks, window=window)]

    def _decide(self, scores: Mapping[str, Scored], total: int) -> tuple[Decision, str]:
        """Return the decision and its reason (3.5), and count the row of exceeding windows."""
        due, plan = self._windows.due, self._plan
        finite = all(
            quantise(x) is not None for values in self._seen.values() for x in values.values()
        )
        driver = worst(scores)
        if not finite:
            self._row = 0
            return "fail", "nonfinite_fail"
        if due < plan.warmup:
            return "skip", "not_evaluated_warmup"
        if self._stalled():
            self._row = 0
            return "fail", "stalled_fail"
        if driver is None:
            return "skip", "not_evaluated_insufficient_history"
        if total < plan.min_evidence:
            return "skip", "not_evaluated_insufficient_evidence"
        return self._judge(scores[driver])

    def _judge(self, driver: Scored) -> tuple[Decision, str]:
        kind = "level" if driver.view == LEVEL else "change"
        exceeds = driver.z2 > self._fail2
        self._row = self._row + 1 if exceeds else 0
        if self._row >= self._plan.persistence:
            return "fail", f"{kind}_fail"
        if exceeds or driver.z2 > self._warn2:
            return "warn", f"{kind}_warn"
        if any(len(self._seen[name]) < self._plan.samples for name in self._known):
            return "warn", "metric_lost_warn"  # what is no longer shown is not sound
        return "pass", "none_ok"

    def _stalled(self) -> bool:
        """Whether a metric that must not stand still had nothing but zeros in the window."""
        plan = self._plan
        return any(
            way == "stall"
            and len(self._seen[name]) == plan.samples
            and not any(self._seen[name].values())
            for name, way in plan.metrics.items()
        )

    def _told(
        self,
        scores: Mapping[str, Scored],
        decided: tuple[Decision, str],
        *,
        total: int,
        history: int,
    ) -> Check:
        """Return what is recorded (3.6), before anything is settled."""
        plan, (decision, reason) = self._plan, decided
        shown = {} if decision == "skip" or reason in _NOT_SCORED else scores
        driver = worst(shown)
        c = Fraction(plan.fail_z if decision == "fail" else plan.warn_z)
        bounds = {
            name: distances(one, self._history.columns[name], samples=plan.block_samples, c=c)
            for name, one in shown.items()
        }
        worst_dw = None if driver is None else bounds[driver][0]
        return Check(
            iter=self._windows.due,
            decision=decision,
            reason=reason,
            policy=plan.policy,
            evidence_total=total,
            min_evidence=plan.min_evidence,
            worst_dw=nan if reason == "nonfinite_fail" else worst_dw,
            eps_eff=None if driver is None else bounds[driver][1],
            per_metric_tv={name: tv for name, (tv, _) in bounds.items()},
            exceeds=self._row > 0 and bool(shown),
            forecast=Forecast(
                metric=driver,
                scores={name: Score(one.view, sqrt(float(one.z2))) for name, one in shown.items()},
                regime=self._regime,
                held=self._held,
                history=history,
            ),
        )

    def _settle(self, *, accepted: int, level: int | None, failed: bool) -> None:
        """Keep the window's blocks, or take them back if it failed (3.2, step 3)."""
        plan, begin = self._plan, self._windows.begin
        if failed:
            self._history.take_back(accepted)
            for misses in self._misses.values():
                misses.take_back(begin // plan.block)
            self._held += 1
            if self._held == plan.hold:
                self._history.clear()
                self._begin_regime()
            return
        self._held = 0
        if level is not None and begin >= max(plan.level_from, self._anchored):
            self._least = level if self._least is None else min(self._least, level)
        self._history.trim()
        for misses in self._misses.values():
            misses.trim()

    def _begin_regime(self) -> None:
        for misses in self._misses.values():
            misses.clear()
        self._regime += 1
        self._held = self._row = 0
