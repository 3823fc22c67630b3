"""``ledger observe``: a training loop in any language tells its metrics, a line at a time.

A line is ``{"iter":0,"values":{"loss":2.3}}``, or ``{"anchor":500,"reason":"new data"}``
for a change that is no fault. Started inside ``ledger run``, it records into that
run; otherwise it makes a run of its own.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

from cli import inputs, keys, projecting
from cli.exits import FAILED_GATE, OK
from cli.lines import Lines
from cli.output import Output, print_json, print_text, say
from cli.render import fields
from ledger.errors import MisuseError
from producers.gates.check import Check
from producers.gates.gate import AnyPlan
from producers.gates.lines import check_line
from producers.gates.recording import GatedRun
from producers.runs.inprocess import (
    OpenRun,
    close_after,
    data_source,
    open_run,
    plan_of,
    planned_data,
)
from producers.runs.session import is_witnessed

_SEVERITY = ("skip", "pass", "warn", "fail")
_NAMED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_EXPECTED = 'expected {"iter":0,"values":{"loss":2.3}} or {"anchor":500,"reason":"…"}'
_LOSS = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which run the lines are to become."""

    outdir: Path | None
    preset: str | None
    max_iters: int
    seed: int
    data: Path | None
    fail_on: str | None
    key_file: Path | None


Show = Callable[[Check, float | None, AnyPlan], None]
"""Shows a check, which is on record, with the last loss."""


def observe(wanted: Wanted, descriptor: int, show: Show) -> Output:
    """Record the lines of *descriptor* until they end.

    Raises:
        MisuseError: A line is not what was expected: the run is recorded as failed there.
        LedgerError: It could not be recorded.
    """
    plan = plan_of(wanted.preset, {})
    held = _opened(wanted)
    try:
        run = GatedRun(held.session, plan)
        run.planned(
            planned_data(
                plan, max_iters=wanted.max_iters, seed=wanted.seed, data=data_source(wanted.data)
            )
        )
        story = _Story(run, show)
        for number, line in _lines(descriptor):
            story.take(line, f"line {number}")
        story.end()
    except BaseException as error:
        close_after(held, error)
        raise
    facts = {"run_id": held.session.run_id, "ledger": held.session.book.id}
    where = held.session.outdir
    held.close()
    return _answer(story, facts, where, fail_on=wanted.fail_on)


def stdin_descriptor() -> int:
    """Return the descriptor of standard input, which is read unbuffered.

    Raises:
        MisuseError: It is a terminal: nobody types NDJSON.
    """
    if os.isatty(0):
        raise MisuseError("standard input is a terminal: pipe the lines of a loop into it")
    return 0


def as_line(check: Check, loss: float | None, plan: AnyPlan) -> None:
    """Show a check to a person."""
    print_text(check_line(check, loss, plan))


def as_json(check: Check, loss: float | None, plan: AnyPlan) -> None:
    """Show a check to a program: the payload of ``gate.checked``."""
    del loss, plan
    print_json(check.as_data())


def silently(check: Check, loss: float | None, plan: AnyPlan) -> None:
    """Show nothing: one object comes at the end."""
    del check, loss, plan


class _Story:
    """Feeds lines into a run."""

    def __init__(self, run: GatedRun, show: Show) -> None:
        self._run = run
        self._show = show
        self._losses: list[float] = []
        self.counts = dict.fromkeys(_SEVERITY, 0)

    def take(self, line: bytes, what: str) -> None:
        """Record one line.

        Raises:
            MisuseError: It is not what was expected, or comes too late.
        """
        members = inputs.payload(line, what=what)
        try:
            if "anchor" in members:
                self._anchor(members)
            else:
                self._observe(members)
        except MisuseError as error:
            raise MisuseError(f"{what}: {error}") from error

    def end(self) -> None:
        """Record the end of the run."""
        done = self._run.done
        self._advance(done)
        self._run.finish(done, self._run.loss)

    @property
    def decision(self) -> str:
        """The decision of the whole run: the worst, and skip only if nothing else was."""
        return next((d for d in reversed(_SEVERITY) if self.counts[d]), "skip")

    def _observe(self, members: Mapping[str, Any]) -> None:
        iteration = _iteration(members, {"iter", "values"}, "iter")
        values = _numbers(members.get("values"))
        self._advance(iteration)
        if not self._run.wants(iteration):
            self._losses += [values[_LOSS]] if _LOSS in values else []
            return
        if _LOSS in values:  # the mean since the last observation (gate.md, section 1)
            losses = [*self._losses, values[_LOSS]]
            values[_LOSS] = _mean(losses)
        self._losses = []
        self._run.observe(iteration, values)

    def _anchor(self, members: Mapping[str, Any]) -> None:
        iteration = _iteration(members, {"anchor", "reason"}, "anchor")
        reason = members.get("reason")
        if not isinstance(reason, str) or not reason:
            raise MisuseError(f"an anchor needs a reason; {_EXPECTED}")
        self._advance(iteration)
        self._run.anchor(iteration, reason)

    def _advance(self, done: int) -> None:
        for check in self._run.advance(done):
            self.counts[check.decision] += 1
            self._show(check, self._run.loss, self._run.plan)


def _opened(wanted: Wanted) -> OpenRun:
    if is_witnessed():
        return open_run(None, kind="observe")
    if wanted.outdir is None:
        raise MisuseError("--outdir DIR is needed: where should the run be recorded?")
    key, made = keys.load_or_make(wanted.key_file, name="owner")
    if made:
        say(f"made a new key: {keys.default_path()}")
    return open_run(wanted.outdir, kind="observe", key=key, finalize=projecting.capsule_files)


def _lines(descriptor: int) -> Iterator[tuple[int, bytes]]:
    for numbered in Lines(descriptor).batches(None):
        yield from ((number, line) for number, line in numbered if line.strip())


def _iteration(members: Mapping[str, Any], known: set[str], name: str) -> int:
    unknown = sorted(set(members) - known)
    if unknown:
        raise MisuseError(f"unknown member {unknown[0]!r}; {_EXPECTED}")
    value = members.get(name)
    if type(value) is not int or value < 0:
        raise MisuseError(f"{name} must be a whole number from 0 on; {_EXPECTED}")
    return value


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, dict) or not values:
        raise MisuseError(f"values must be an object with at least one number; {_EXPECTED}")
    numbers = {}
    for name, value in values.items():
        found = _NAMED.get(value) if isinstance(value, str) else value
        if not isinstance(found, int | float) or isinstance(found, bool):
            raise MisuseError(
                f"{name} is no number: one that is not finite is written"
                ' "NaN", "Infinity" or "-Infinity"'
            )
        numbers[name] = float(found)
    return numbers


def _mean(losses: list[float]) -> float:
    try:
        return fsum(losses) / len(losses)
    except (OverflowError, ValueError):  # infinities of both signs, or a sum beyond binary64
        return float("nan")


def _answer(story: _Story, facts: Mapping[str, str], where: Path, *, fail_on: str | None) -> Output:
    decision = story.decision
    failed = fail_on is not None and _SEVERITY.index(decision) >= _SEVERITY.index(fail_on)
    data = {**facts, "outdir": str(where), "checks": story.counts, "final_decision": decision}
    checks = ", ".join(f"{count} {name}" for name, count in story.counts.items() if count)
    shown = {
        "run": facts["run_id"],
        "gate": f"{decision} ({checks or 'no checks'})",
        "directory": str(where),
        "verify": f"ledger verify {where} --ledger-id {facts['ledger']}",
    }
    return Output("observe", data, fields(shown), FAILED_GATE if failed else OK)
