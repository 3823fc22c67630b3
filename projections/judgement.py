"""``manual_judgement.json`` and ``.jsonl``: what people decided after the gate (seed 4E).

A judgement lies over the gate's decisions and changes none. The seed's readers take
the last valid line of the ``.jsonl`` for the one that stands, and know no line that
takes one back. So the lines of judgements that were taken back say ``cleared``
where the seed has ``pass`` or ``fail``: those readers pass over them.
"""

from typing import Any

import msgspec

from ledger.events import Payload
from ledger.events.governance import GovernanceCleared, GovernanceJudged
from projections.protocol import EntryLike
from projections.runs import Runs, RunState, canonical, follow, json_line, place, second

SNAPSHOT_NAME = "manual_judgement.json"
HISTORY_NAME = "manual_judgement.jsonl"


class Clearing(msgspec.Struct, forbid_unknown_fields=True):
    """When a judgement was taken back, by whom and why."""

    time: str
    reviewer: str | None
    reason: str | None


class Judged(msgspec.Struct, forbid_unknown_fields=True):
    """One judgement."""

    time: str
    key: str
    status: str
    reason: str
    reviewer: str | None
    cleared: Clearing | None = None


class JudgedRun(RunState):
    """The judgements of one run, in their order."""

    judged: list[Judged] = msgspec.field(default_factory=list)


class Judgement:
    """The projection of ``manual_judgement.json`` and ``manual_judgement.jsonl``."""

    name = "judgement"
    version = 1
    state_type = Runs[JudgedRun]

    def initial(self) -> Runs[JudgedRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[JudgedRun], entry: EntryLike) -> Runs[JudgedRun]:
        """Append a judgement, or mark the ones that are taken back."""
        followed = follow(state, entry, JudgedRun)
        if followed is not None:
            run, payload = followed
            judge(run.judged, entry, payload)
        return state

    def render(self, state: Runs[JudgedRun]) -> dict[str, bytes]:
        """Return the judgement that stands, if one does, and all of them, if there are any."""
        return place(state, _files)


def judge(judged: list[Judged], entry: EntryLike, payload: Payload) -> None:
    """Add to *judged* what an event of its run says about it."""
    if isinstance(payload, GovernanceJudged):
        judged.append(
            Judged(
                time=entry.time,
                key=entry.key,
                status=payload.status,
                reason=payload.reason,
                reviewer=payload.reviewer,
            )
        )
    elif isinstance(payload, GovernanceCleared):
        clearing = Clearing(entry.time, payload.reviewer, payload.reason)
        for each in reversed(judged):
            if each.cleared is not None:
                break  # whatever came before it was taken back with it
            each.cleared = clearing


def standing(judged: list[Judged]) -> Judged | None:
    """Return the judgement that counts: the last, unless it was taken back."""
    return judged[-1] if judged and judged[-1].cleared is None else None


def _files(run: JudgedRun) -> dict[str, bytes]:
    stands = standing(run.judged)
    files = {}
    if stands is not None:
        files[SNAPSHOT_NAME] = canonical(_record(run.core.run_id, stands)) + b"\n"
    if run.judged:
        files[HISTORY_NAME] = b"".join(
            json_line({**_record(run.core.run_id, each), "rev": rev})
            for rev, each in enumerate(run.judged, 1)
        )
    return files


def _record(run_id: str, judged: Judged) -> dict[str, Any]:
    record = {
        "schema_version": 1,
        "run_id": run_id,
        "status": judged.status,
        "reason": judged.reason,
        "reviewer": judged.reviewer,
        "ts_utc": second(judged.time),
    }
    if judged.cleared is not None:
        record.update(
            status="cleared",
            was=judged.status,
            cleared_ts_utc=second(judged.cleared.time),
            cleared_by=judged.cleared.reviewer,
            cleared_reason=judged.cleared.reason,
        )
    return record
