"""``results.json``: every gate check and every metric of a run (seed 4C).

A partial run has none: what is not whole must not be taken for a result. What
such a run did record is in the ledger, and counted in its summary.
"""

from typing import Any

import msgspec

from ledger.events.base import Number
from ledger.events.run import GateChecked, MetricObserved
from projections.protocol import EntryLike
from projections.records import gate_record, header
from projections.runs import Runs, RunState, canonical, follow, place

FILE_NAME = "results.json"


class ResultsRun(RunState):
    """A run's gate records, finished, and its metrics, one item for each event."""

    gates: list[dict[str, Any]] = msgspec.field(default_factory=list)
    metrics: list[tuple[int, dict[str, Number]]] = msgspec.field(default_factory=list)


class Results:
    """The projection of ``results.json``."""

    name = "results"
    version = 2
    state_type = Runs[ResultsRun]

    def initial(self) -> Runs[ResultsRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[ResultsRun], entry: EntryLike) -> Runs[ResultsRun]:
        """Append a gate check or the metrics of an iteration to their run."""
        followed = follow(state, entry, ResultsRun)
        if followed is None:
            return state
        run, payload = followed
        if isinstance(payload, GateChecked):
            run.gates.append(gate_record(payload))
        elif isinstance(payload, MetricObserved):
            run.metrics.append((payload.iter, payload.values))
        return state

    def render(self, state: Runs[ResultsRun]) -> dict[str, bytes]:
        """Return one results file for each run that is whole."""
        return place(state, _files)


def _files(run: ResultsRun) -> dict[str, bytes]:
    if run.core.partial:
        return {}
    document = {
        **header(run.core),
        "gates": run.gates,
        "metrics": [
            _metric_record(name, step, value)
            for step, values in run.metrics
            for name, value in sorted(values.items())
        ],
    }
    return {FILE_NAME: canonical(document) + b"\n"}


def _metric_record(name: str, step: int, value: float | str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": name, "iter": step, "value": None, "nonfinite": value}
    return {"name": name, "iter": step, "value": value}
