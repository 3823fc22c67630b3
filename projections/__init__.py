"""Folds from events to read models and artifacts: same entries, same bytes.

>>> sorted(PROJECTIONS)
['report', 'results', 'summary', 'timeline', 'window_signature']
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from projections.database import write_database
from projections.protocol import (
    AnyProjection,
    EntryLike,
    Projection,
    Snapshot,
    dump_snapshot,
    load_snapshot,
    project,
    render,
    replay,
)
from projections.report import ReportProjection
from projections.results import Results
from projections.runs import run_directory
from projections.summary import Summary
from projections.timeline import TimelineProjection
from projections.window_signature import WindowSignature

__all__ = [
    "PROJECTIONS",
    "AnyProjection",
    "EntryLike",
    "Projection",
    "Snapshot",
    "dump_snapshot",
    "load_snapshot",
    "project",
    "render",
    "replay",
    "run_directory",
    "write_database",
]

PROJECTIONS: Mapping[str, Callable[[], AnyProjection]] = MappingProxyType(
    {
        "results": Results,
        "summary": Summary,
        "window_signature": WindowSignature,
        "report": ReportProjection,
        "timeline": TimelineProjection,
    }
)
"""What ``ledger project`` can make, and ``artifact.recorded`` can name, besides the database."""
