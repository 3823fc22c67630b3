"""The event vocabulary: one payload model for each type that we define.

Types that begin ``x.`` are free for users and are never checked. Other unknown
types may be written and verified (strict verification reports them), but no
projection reads them.
"""

from typing import Any

from pydantic import ValidationError

from ledger.errors import MisuseError
from ledger.events import governance, ledger_family, run
from ledger.events.base import Payload

__all__ = ["MODELS", "Payload", "check", "json_schemas"]

MODELS: dict[str, type[Payload]] = {
    "ledger.created": ledger_family.LedgerCreated,
    "ledger.recovered": ledger_family.LedgerRecovered,
    "key.authorized": ledger_family.KeyAuthorized,
    "key.rotated": ledger_family.KeyRotated,
    "key.revoked": ledger_family.KeyRevoked,
    "blob.erased": ledger_family.BlobErased,
    "run.opened": run.RunOpened,
    "run.planned": run.RunPlanned,
    "run.resumed": run.RunResumed,
    "run.saved": run.RunSaved,
    "run.rank": run.RunRank,
    "run.finished": run.RunFinished,
    "run.closed": run.RunClosed,
    "metric.observed": run.MetricObserved,
    "gate.checked": run.GateChecked,
    "gate.anchored": run.GateAnchored,
    "fault.injected": run.FaultInjected,
    "artifact.recorded": run.ArtifactRecorded,
    "governance.judged": governance.GovernanceJudged,
    "governance.cleared": governance.GovernanceCleared,
}


def check(event_type: str, data: bytes) -> None:
    """Check the JSON bytes of a payload against the model of its type, if there is one.

    Raises:
        MisuseError: The payload does not fit; the message names the first member at fault.
    """
    model = MODELS.get(event_type)
    if model is None:
        return
    try:
        model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "data"
        message = f"{event_type}: {where}: {first['msg']} (found {str(first['input'])[:80]!r})"
        raise MisuseError(message) from error


def json_schemas() -> dict[str, Any]:
    """Return the published JSON Schemas: event type to schema of ``data``, sorted by type."""
    return {name: MODELS[name].model_json_schema() for name in sorted(MODELS)}
