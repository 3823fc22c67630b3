"""Which human judgement lies over a run's decision, if one does."""

from dataclasses import dataclass

from verifier.contract.capsule import JUDGEMENT, JUDGEMENTS, Capsule, NotJsonError, parse
from verifier.contract.documents import Judgement, read_judgement
from verifier.contract.values import SchemaError

__all__ = ["Overlay", "overlay_of"]


_TAKEN_BACK = "cleared"  # a judgement that no longer stands; other readers pass over it too


@dataclass(frozen=True, slots=True)
class Overlay:
    """The judgement that is shown, and what was odd on the way to it."""

    judgement: Judgement | None
    warnings: tuple[str, ...]

    def decision(self, automated: str) -> str:
        """Return what counts: the judgement, or else what the gate decided."""
        return automated if self.judgement is None else self.judgement.status

    @property
    def source(self) -> str:
        """Who decided: ``manual`` or ``automated``."""
        return "automated" if self.judgement is None else "manual"


def overlay_of(capsule: Capsule, run_id: str) -> Overlay:
    """Return the last judgement of *run_id* in the ``.jsonl``, else the one in the ``.json``."""
    warnings: list[str] = []
    found: Judgement | None = None
    for number, raw in enumerate(capsule.files.get(JUDGEMENTS, b"").split(b"\n"), start=1):
        if raw.strip():
            said = _line(raw, number, run_id=run_id, warnings=warnings, before=found)
            found = said or found
    if found is None and JUDGEMENT in capsule.files:
        found = _checked(capsule.files[JUDGEMENT], 0, run_id=run_id, warnings=warnings)
    return Overlay(found, tuple(warnings))


def _line(
    raw: bytes, number: int, *, run_id: str, warnings: list[str], before: Judgement | None
) -> Judgement | None:
    said = _checked(raw, number, run_id=run_id, warnings=warnings)
    if said is not None and before is not None and said.time.when < before.time.when:
        warnings.append(f"WARNING:MANUAL_JUDGEMENT_TS_DECREASE line={number}")
    return said


def _checked(raw: bytes, number: int, *, run_id: str, warnings: list[str]) -> Judgement | None:
    try:
        document = parse(raw)
        if number:
            _numbered(document)
        if isinstance(document, dict) and document.get("status") == _TAKEN_BACK:
            return None
        said = read_judgement(document)
    except (NotJsonError, SchemaError) as error:
        warnings.append(f"WARNING:MANUAL_JUDGEMENT_LOG_INVALID line={number} {error}")
        return None
    if said.run_id != run_id:
        mismatch = f"line={number} expected={run_id} got={said.run_id}"
        warnings.append(f"WARNING:MANUAL_JUDGEMENT_RUN_ID_MISMATCH {mismatch}")
        return None
    return said


def _numbered(document: object) -> None:
    if not isinstance(document, dict):
        raise SchemaError("not_object")
    rev = document.get("rev")
    if isinstance(rev, bool) or not isinstance(rev, int):
        raise SchemaError("rev_missing_or_invalid")
