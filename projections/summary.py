"""``results_summary.json`` and ``first_fail_iter.txt``: a run in a few numbers (seed 4D).

The summary of a partial run counts nothing, as the seed wants it, and says beside
that what is on record.
"""

from typing import Any

import msgspec

from ledger.events.run import GateChecked
from projections.protocol import EntryLike
from projections.records import header
from projections.runs import RunCore, Runs, RunState, canonical, decision_of, follow, place

FILE_NAME = "results_summary.json"
MARKER_NAME = "first_fail_iter.txt"


class Tally(msgspec.Struct, forbid_unknown_fields=True):
    """How many checks came to which decision, and the least iteration of a fail."""

    passed: int = 0
    warned: int = 0
    failed: int = 0
    skipped: int = 0
    first_fail: int | None = None

    @property
    def evaluated(self) -> int:
        """The checks that came to a decision at all."""
        return self.passed + self.warned + self.failed

    @property
    def total(self) -> int:
        """All checks, the skipped ones too."""
        return self.evaluated + self.skipped

    @property
    def final(self) -> str:
        """Any fail is a fail, else any warn a warn, else any pass a pass; nothing is a skip."""
        if self.failed:
            return "fail"
        if self.warned:
            return "warn"
        return "pass" if self.passed else "skip"

    def counts(self) -> dict[str, int]:
        """Return the counts by the seed's names."""
        return {
            "evaluated": self.evaluated,
            "skip": self.skipped,
            "pass": self.passed,
            "warn": self.warned,
            "fail": self.failed,
        }

    def take(self, decision: str, step: int) -> None:
        """Count one check."""
        if decision == "pass":
            self.passed += 1
        elif decision == "warn":
            self.warned += 1
        elif decision == "fail":
            self.failed += 1
            self.first_fail = step if self.first_fail is None else min(step, self.first_fail)
        else:
            self.skipped += 1


class SummaryRun(RunState):
    """A run and its tally: the same few numbers however long it is."""

    tally: Tally = msgspec.field(default_factory=Tally)


class Summary:
    """The projection of ``results_summary.json`` and ``first_fail_iter.txt``."""

    name = "summary"
    version = 2
    state_type = Runs[SummaryRun]

    def initial(self) -> Runs[SummaryRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[SummaryRun], entry: EntryLike) -> Runs[SummaryRun]:
        """Count a gate check."""
        followed = follow(state, entry, SummaryRun)
        if followed is not None:
            run, payload = followed
            if isinstance(payload, GateChecked):
                run.tally.take(decision_of(payload), payload.iter)
        return state

    def render(self, state: Runs[SummaryRun]) -> dict[str, bytes]:
        """Return the summary of each run, and the marker of each run that has a fail."""
        return place(state, _files)


def _files(run: SummaryRun) -> dict[str, bytes]:
    core = run.core
    tally = Tally() if core.partial else run.tally
    summary: dict[str, Any] = {
        **header(core),
        "counts": tally.counts(),
        "final_decision": tally.final,
        "first_fail_iter": tally.first_fail,
        "partial": core.partial,
    }
    if core.partial:
        summary["recorded_counts"] = run.tally.counts()
        summary["note"] = why_partial(core)
    files = {FILE_NAME: canonical(summary) + b"\n"}
    if tally.first_fail is not None:
        files[MARKER_NAME] = b"%d\n" % tally.first_fail
    return files


def why_partial(core: RunCore) -> str:
    """Return what the story of a partial run lacks."""
    return "the run was never closed" if core.ending is None else "the run recorded no plan"
