"""Folds from events to read models and artifacts: same entries, same bytes.

>>> " ".join(PROJECTIONS)
'window_signature results summary run_config governance judgement calibration report timeline'
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from projections.calibration import Calibration
from projections.capsule import CAPSULE_FILES, capsule_projections
from projections.database import write_database
from projections.governance import Governance, GovernanceStream
from projections.judgement import Judgement
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
from projections.run_config import RunConfig
from projections.runs import run_directory
from projections.summary import Summary
from projections.timeline import TimelineProjection
from projections.window_signature import WindowSignature

__all__ = [
    "CAPSULE_FILES",
    "PROJECTIONS",
    "AnyProjection",
    "EntryLike",
    "GovernanceStream",
    "Projection",
    "Snapshot",
    "capsule_projections",
    "dump_snapshot",
    "load_snapshot",
    "make",
    "project",
    "render",
    "replay",
    "run_directory",
    "write_database",
]

PROJECTIONS: Mapping[str, Callable[[], AnyProjection]] = MappingProxyType(
    {
        "window_signature": WindowSignature,
        "results": Results,
        "summary": Summary,
        "run_config": RunConfig,
        "governance": Governance,
        "judgement": Judgement,
        "calibration": Calibration,
        "report": ReportProjection,
        "timeline": TimelineProjection,
    }
)
"""What ``ledger project`` can make, and ``artifact.recorded`` can name, besides the database."""

_BOUND: Mapping[str, Callable[[str | None], AnyProjection]] = MappingProxyType(
    {"governance": Governance, "report": ReportProjection}
)


def make(name: str, outdir: str | None = None) -> AnyProjection:
    """Return a new projection of ``PROJECTIONS``, bound to *outdir* if it is one that can be."""
    bound = _BOUND.get(name)
    return PROJECTIONS[name]() if bound is None else bound(outdir)
