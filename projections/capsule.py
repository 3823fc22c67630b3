"""All contract files of a run in one pass, for a copy of a capsule at another place."""

from collections.abc import Mapping
from types import MappingProxyType

from projections import calibration, governance, judgement, results, run_config, summary
from projections import window_signature as signature
from projections.protocol import AnyProjection
from projections.report import MARKDOWN_NAME, TEXT_NAME, ReportProjection

CAPSULE_FILES: Mapping[str, str] = MappingProxyType(
    {
        calibration.TABLE_NAME: "calibration",
        calibration.META_NAME: "calibration",
        summary.MARKER_NAME: "summary",
        governance.FILE_NAME: "governance",
        judgement.SNAPSHOT_NAME: "judgement",
        judgement.HISTORY_NAME: "judgement",
        MARKDOWN_NAME: "report",
        TEXT_NAME: "report",
        results.FILE_NAME: "results",
        summary.FILE_NAME: "summary",
        run_config.FILE_NAME: "run_config",
        signature.FILE_NAME: "window_signature",
    }
)
"""Each file that a capsule can hold of its projections, and the projection that makes it."""


def capsule_projections(outdir: str | None = None) -> tuple[AnyProjection, ...]:
    """Return the projections of a capsule, bound to *outdir* if it is to lie elsewhere."""
    return (
        signature.WindowSignature(),
        results.Results(),
        summary.Summary(),
        run_config.RunConfig(),
        governance.Governance(outdir),
        judgement.Judgement(),
        calibration.Calibration(),
        ReportProjection(outdir),
    )
