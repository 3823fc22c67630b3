"""``governance_log.jsonl`` and the judgements a second time (docs/reference/capsule.md, 7 and 8).

These files go on after the run has closed: people judge later. They are made again from
all events of the run, byte for byte, so it does not matter what was put on record of them.
"""

import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from verifier.facts import Facts, canonical, digest, facts_of, seconds
from verifier.record import gate_record
from verifier.runs import Event, Gate, Replay

__all__ = ["GOVERNANCE", "JUDGEMENT", "JUDGEMENTS", "governance_log", "judgement", "judgements"]

GOVERNANCE = "governance_log.jsonl"
JUDGEMENT = "manual_judgement.json"
JUDGEMENTS = "manual_judgement.jsonl"
_JUDGED = "governance.judged"
_CLEARED = "governance.cleared"


def governance_log(replay: Replay) -> bytes | None:
    """Return the log, or ``None`` if there is none."""
    lines: list[bytes] = []
    prev: str | None = None
    for event, actor, payload, time in _happened(replay):
        line: dict[str, Any] = {
            "schema_version": 1,
            "rev": len(lines) + 1,
            "ts_utc": seconds(time),
            "actor": actor,
            "event": event,
            "payload": payload,
            "prev_hash": prev,
        }
        prev = line["entry_hash"] = digest(line)
        lines.append(_line(line))
    return b"".join(lines) or None


def judgement(replay: Replay) -> bytes | None:
    """Return the judgement that stands, or ``None`` if none does."""
    standing: Event | None = None
    for event in replay.judgements:
        standing = event if event.type == _JUDGED else None
    return None if standing is None else canonical(_judged(replay.run_id, standing)) + b"\n"


def judgements(replay: Replay) -> bytes | None:
    """Return every judgement, those that were taken back marked so; ``None`` if there was none."""
    told = replay.judgements
    lines: list[bytes] = []
    for place, event in enumerate(told):
        if event.type != _JUDGED:
            continue
        line = _judged(replay.run_id, event) | {"rev": len(lines) + 1}
        clearing = next((later for later in told[place:] if later.type == _CLEARED), None)
        if clearing is not None:
            line |= {
                "status": "cleared",
                "was": event.data["status"],
                "cleared_ts_utc": seconds(clearing.time),
                "cleared_by": clearing.data["reviewer"],
                "cleared_reason": clearing.data["reason"],
            }
        lines.append(_line(line))
    return b"".join(lines) or None


def _line(value: Mapping[str, Any]) -> bytes:
    """Return one line, in ASCII: some readers end lines at U+2028, too."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _judged(run_id: str, event: Event) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "run_id": run_id,
        "status": event.data["status"],
        "reason": event.data["reason"],
        "reviewer": event.data["reviewer"],
        "ts_utc": seconds(event.time),
    }


def _happened(replay: Replay) -> Iterator[tuple[str, str | None, dict[str, Any], str]]:
    """Yield event, actor, payload and time of each line, in the order of the ledger."""
    facts = facts_of(replay)
    begun = facts.planned or facts.closed
    told: list[Event | Gate] = sorted((*replay.events, *replay.gates), key=attrgetter("seq"))
    for each in told:
        place = _place(facts, each)
        if isinstance(each, Gate):
            yield (
                "gate_decision_v1",
                None,
                _named(facts, place, "outdir") | gate_record(each),
                each.time,
            )
        elif begun is not None and each.seq == begun.seq:
            for event, payload in _start(facts, place):
                yield event, None, payload, each.time
        elif each.type == _JUDGED:
            said = {name: each.data[name] for name in ("status", "reason", "reviewer")}
            yield "manual_judgement_set", each.data["reviewer"], _act(facts, each, said), each.time
        elif each.type == _CLEARED:
            said = {name: each.data[name] for name in ("reason", "reviewer")}
            actor = each.data["reviewer"]
            yield "manual_judgement_cleared", actor, _act(facts, each, said), each.time


def _start(facts: Facts, place: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    opened = place["opened"]
    entrypoint = {"kind": "runner", "name": opened.get("kind", "unknown")}
    yield (
        "run_started_v1",
        _named(facts, place, "outdir", "argv")
        | {
            "code_identity": {
                "package": opened.get("package", {}).get("name"),
                "version": opened.get("package", {}).get("version"),
                "git_sha": opened.get("git", {}).get("sha"),
                "gate_engine": facts.engine,
            },
            "window_signature_ref": facts.reference,
            "entrypoint": entrypoint,
            **facts.distributed,
        },
    )
    if facts.overrides:
        yield (
            "run_overrides_applied_v1",
            _named(facts, place, "outdir", "argv")
            | {
                "overrides": facts.overrides,
                "profile": facts.profile,
                "entrypoint": entrypoint,
            },
        )


def _place(facts: Facts, event: Event | Gate) -> dict[str, Any]:
    """Return what was known of the run's place before *event*."""
    known = facts.opened is not None and facts.opened.seq < event.seq
    opened = facts.opened_data if known else {}
    return {
        "opened": opened,
        "outdir": opened.get("outdir", ""),
        "argv": opened.get("argv", []),
    }


def _named(facts: Facts, place: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {"run_id": facts.run_id} | {name: place[name] for name in names}


def _act(facts: Facts, event: Event, said: dict[str, Any]) -> dict[str, Any]:
    return said | {"run_id": facts.run_id, "source_path": JUDGEMENT, "key": event.key}
